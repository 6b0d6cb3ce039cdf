"""Lanes in Redis: the LaneJournal of every service that publishes or takes, and the LaneBoard of the gateway.

What is malformed in a record is nothing, as if Redis had been lost.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from shared.cache.lanes import (
    FLOW_TTL_SECONDS,
    FORGET_SECONDS,
    LANE_TTL_SECONDS,
    QUIET_SECONDS,
    SILENT_SECONDS,
    TAKES_NOTHING,
    Hold,
    LaneFigures,
    LaneRecord,
    LaneReport,
    ProcessRecord,
    Totals,
    figures_of,
    flow_number,
    flow_numbers,
)
from shared.cache.redis.connection import Connection
from shared.cache.redis.script import Script
from shared.cache.redis.wire import Part, Reply
from shared.clock import MILLISECONDS

_TELL: Final = Script.beside(__file__, "lane_tell.lua")
_READ: Final = Script.beside(__file__, "lane_read.lua")
_LIMITS: Final[tuple[Part, ...]] = (
    SILENT_SECONDS * MILLISECONDS,
    FORGET_SECONDS * MILLISECONDS,
    QUIET_SECONDS * MILLISECONDS,
    LANE_TTL_SECONDS,
    FLOW_TTL_SECONDS,
)
_NOTHING_HELD: Final = Hold(in_flight=TAKES_NOTHING)


class RedisLanes:
    """See the Protocols. connection: open while this is used."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def tell(self, process: str, started_at: int, reports: Sequence[LaneReport], *, at: int) -> None:
        answers = [
            self._connection.run(
                _TELL,
                (_lane(report.lane), _flow(report.lane, flow_number(at))),
                (process, report.started_at or started_at, at, *_told(report), *_LIMITS),
            )
            for report in reports
        ]
        await asyncio.gather(*answers)

    async def figures(self, lanes: Sequence[str], *, at: int) -> Sequence[LaneFigures]:
        numbers = flow_numbers(at)
        answers = [
            self._connection.run(_READ, (_lane(lane), *(_flow(lane, number) for number in numbers)), ())
            for lane in lanes
        ]
        return [figures_of(_record(reply, numbers), at) for reply in await asyncio.gather(*answers)]


def _lane(lane: str) -> str:
    return f"lane:{{{lane}}}"


def _flow(lane: str, number: int) -> str:
    return f"lane:{{{lane}}}:flow:{number}"


def _told(report: LaneReport) -> tuple[Part, ...]:
    totals, hold = report.totals, report.hold or _NOTHING_HELD
    return (
        totals.published,
        totals.pulled,
        totals.returned,
        totals.settled,
        hold.in_flight,
        hold.oldest_at or 0,
        hold.newest_at or 0,
        int(hold.empty),
        report.published_from or 0,
    )


def _record(reply: Reply, numbers: Sequence[int]) -> LaneRecord | None:
    lane, *flows = [dict(zip(fields[::2], fields[1::2], strict=True)) for fields in reply]
    try:
        return LaneRecord(
            since=int(lane[b"since"]),
            waiting=int(lane[b"waiting"]),
            known=lane[b"known"] == b"1",
            front_at=int(lane[b"front"]) or None,
            processes={name[2:].decode(): _process(value) for name, value in lane.items() if name.startswith(b"p:")},
            flow={
                number: (int(flow.get(b"in", 0)), int(flow.get(b"out", 0)))
                for number, flow in zip(numbers, flows, strict=True)
            },
        )
    except (KeyError, ValueError):
        return None


def _process(value: bytes) -> ProcessRecord:
    started, seen, published, pulled, returned, settled, in_flight, oldest = map(int, value.split())
    return ProcessRecord(started, seen, Totals(published, pulled, returned, settled), in_flight, oldest or None)
