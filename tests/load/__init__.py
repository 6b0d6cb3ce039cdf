"""The load harness: measures each row of the performance targets against the composed system, over HTTP alone.

`make load` runs `python -m tests.load`. The system is started by `deploy.local.system` like anywhere else. Load is made
by processes of its own (`generator`), never by one that is measured, and sent to this machine only. What limits the
answer is measured in the same run (`limits`, `peers`), since ratios survive a machine whose speed drifts.
"""
