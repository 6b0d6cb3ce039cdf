"""Stands in for Pub/Sub's push on this machine: pulls from the emulator, signs, and posts to the workers.

The emulator can push by itself, but signs nothing, and has at most two messages of a subscription on their way. A
worker verifies every push, so somebody must sign; this does, as an issuer whose keys the workers are pointed at. It
stops for paused queues too, as on the real service the scheduler does by taking the subscriptions' endpoints away.
`SLUICE_PUSH=1 make run` starts it, and so do tests with `Options(push=True)`.
"""
