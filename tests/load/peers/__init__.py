"""What a Python team would run instead, measured in the same run as Sluice and under the same load.

One module a peer: a server that `Bench.server` starts as a process of its own; `queues` has one a job queue, with the
worker's side. It imports nothing of ours, so that it can run on an interpreter that has its packages (`--peer-python`,
or the dependency group `load`). Settings come in by environment variables. A peer whose packages are missing is left
out, and the table says so.
"""
