"""The cache on Redis (or Valkey), over one pipelined connection a process.

| module | what |
|---|---|
| `address` | the URL, read once |
| `wire` | one TCP connection: bytes out, replies in; dialling and greeting |
| `batch` | the commands of one moment as one request, and each reply back to who asked |
| `connection` | when batches travel, deadlines, reconnecting; what every cache of ours is given |
| `script` | Lua kept by the server, called by its hash |
| `subscription` | one channel, on a wire of its own |
| `snapshots` | `Teller` and `Snapshots`, with `tell.lua` and `watch.lua` |

Why not the client of redis-py: for us it costs 12.6 µs of CPU a pipelined command in batches of 1,000 and 112 µs a lone
one, and half a second to import; packing and reading RESP with hiredis, its own parser, costs 1.4 and 38 µs, and 2 ms.

A further use of Redis is one module here with its scripts beside it, taking a `Connection`, and one Protocol in
`shared/cache/contract.py`.
"""
