"""The express lane: what most requests are, answered without aiohttp's machinery for the rest.

Three requests make nearly all the traffic of a job API: posting a job, reading a finished one, and waiting for one. For
each of these aiohttp builds a request, a response and a task, and a held one keeps all of them. The express lane
answers them from the parsed head, in the call in which their bytes came, and holds a waiter as a few slots.

    connection ──▶ lane ──▶ reads   a finished job at hand; a job to wait for
        │            └────▶ posts   a job to be accepted
        └──▶ aiohttp, the application: everything else

It takes only what is ordinary: a known key with tokens left, a whole body, a loop that is not late, nobody recording
traces. Everything else, and every refusal that is not the submission's own, is the application's, which answers all of
it and is the reference: the same request gets the same answer on both ways.
"""
