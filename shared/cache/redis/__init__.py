"""The cache on Redis (or Valkey), over one pipelined connection a process.

| module | what |
|---|---|
| `address` | the URL, read once |
| `wire` | one TCP connection: bytes out, replies in; dialling and greeting |
| `batch` | the commands of one moment as one request, and each reply back to who asked |
| `connection` | when batches travel, deadlines, reconnecting; what every cache of ours is given |
| `script` | Lua kept by the server, called by its hash |
| `subscription` | one channel, or a few, on a wire of its own |
| `keys` | the names of a job's keys |
| `snapshots` | `Teller`, `Snapshots` and `Eraser`, with `tell.lua`, `watch.lua` and `erase.lua` |
| `streams` | `StreamWriter` and `Streams`, with `append.lua` and `follow.lua` |
| `recent` | `Recent`, with `recent.lua` and `forget.lua` |
| `cancellations` | `CancelCaller` and `CancelCalls` |
| `flights` | `Flights` and `Landing`, with `enter.lua`, `confirm.lua` and `land.lua` |
| `replays` | `Replays` |
| `lanes` | `LaneJournal` and `LaneBoard`, with `lane_tell.lua` and `lane_read.lua` |

Why not the client of redis-py: for us it costs 12.6 µs of CPU a pipelined command in batches of 1,000 and 112 µs a lone
one, and half a second to import; packing and reading RESP with hiredis, its own parser, costs 1.4 and 38 µs, and 2 ms.

A further use of Redis is one module here with its scripts beside it, taking a `Connection`, and one Protocol in
`shared/cache/contract.py`, or in a file of its own where it comes with arithmetic (`shared/cache/lanes.py`).
"""
