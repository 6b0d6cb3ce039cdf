"""Starts the whole of Sluice on one machine: the emulators, Redis, the topology, the keys and every service.

`make run` uses it through `__main__`; the acceptance, chaos and load tests use `backends.Backends` and
`system.System` directly, so that what the tests exercise is what a newcomer starts.
"""
