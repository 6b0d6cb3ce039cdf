"""A process in which gRPC is busy, as a worker's is, and which starts many others. Prints how they ended.

A program of its own, because gRPC decides once a process whether forks concern it: here they do.
"""

import asyncio
import collections
import sys

import grpc
import grpc.aio
import uvloop

from shared.child import Child

STARTS = 40


async def echo(request: bytes, _context: object) -> bytes:
    return request


async def main() -> None:
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", {"echo": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    leaving = asyncio.Event()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/echo/echo", None, None)

        async def calls() -> None:
            while not leaving.is_set():
                await call(b"x" * 100, timeout=20)

        callers = [asyncio.create_task(calls()) for _ in range(8)]
        ends = [await Child([sys.executable, "-m", "keyword", ""], stdout=2).wait() for _ in range(STARTS)]
        leaving.set()
        await asyncio.gather(*callers)
    await server.stop(None)
    sys.stdout.write(f"{dict(collections.Counter(ends))}\n")


if __name__ == "__main__":
    uvloop.run(main())
