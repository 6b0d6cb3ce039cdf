"""How reports gather and go: what is left goes before the end, and nothing after it."""

import asyncio

import pytest

from services.worker.execution.messages import Reported
from services.worker.execution.runner.reporting import BATCH_BYTES, Pump
from services.worker.execution.settings import ExecutionSettings
from services.worker.execution.task import Progress, Report
from sluice import reports

CHUNK = b"x" * reports.MAX_CHUNK_BYTES


class Wire:
    """What was sent, and whether more may be."""

    def __init__(self) -> None:
        self.sent: list[Report] = []
        self.congested = False
        self.news = asyncio.Event()

    def send(self, message: Reported) -> None:
        assert message.number == 7
        self.sent.append(message.report)
        self.news.set()

    def pump(self) -> Pump:
        return Pump(7, self.send, lambda: self.congested)


@pytest.fixture
async def wire() -> Wire:
    return Wire()


async def test_the_newest_progress_is_sent_at_once_and_the_last_at_the_end(wire: Wire) -> None:
    pump = wire.pump()
    for done in range(100):
        pump.buffer.progress(reports.Progress(done))
    async with asyncio.timeout(1):
        await wire.news.wait()
    for done in range(100, 200):
        pump.buffer.progress(reports.Progress(done))
    pump.finish()
    assert [report.progress for report in wire.sent] == [Progress(99, None, ""), Progress(199, None, "")]


async def test_chunks_overtake_a_progress_that_must_wait(wire: Wire) -> None:
    pump = wire.pump()
    pump.buffer.progress(reports.Progress(1))
    await wire.news.wait()
    wire.news.clear()
    pump.buffer.progress(reports.Progress(2))
    pump.buffer.emit(b"1")
    async with asyncio.timeout(0.4):  # sooner than the next progress may come
        await wire.news.wait()
    assert wire.sent[1:] == [Report(None, (b"1",), 0)]
    pump.finish()
    assert wire.sent[2:] == [Report(Progress(2, None, ""), (), 0)]


async def test_progress_that_had_to_wait_is_sent_without_another_report(wire: Wire) -> None:
    pump = wire.pump()
    for done in (1, 2):
        pump.buffer.progress(reports.Progress(done))
        async with asyncio.timeout(2):
            await wire.news.wait()
        wire.news.clear()
    assert [report.progress for report in wire.sent] == [Progress(1, None, ""), Progress(2, None, "")]
    pump.finish()
    assert len(wire.sent) == 2


async def test_nothing_is_sent_after_the_end(wire: Wire) -> None:
    pump = wire.pump()
    pump.finish()
    pump.buffer.emit(b"1")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.sent == []


async def test_many_chunks_make_several_messages_each_within_the_limit(wire: Wire) -> None:
    pump = wire.pump()
    pump.buffer.progress(reports.Progress(1))
    for _ in range(100):  # more than the buffer keeps
        pump.buffer.emit(CHUNK)
    pump.finish()
    assert sum(len(report.chunks) for report in wire.sent) + wire.sent[0].dropped == 100
    assert wire.sent[0].dropped == 100 - reports.MAX_BUFFERED_BYTES // len(CHUNK)
    assert [report.dropped for report in wire.sent[1:]] == [0] * (len(wire.sent) - 1)
    assert [report.progress for report in wire.sent[1:]] == [None] * (len(wire.sent) - 1)
    limit = ExecutionSettings(handlers=(), input_bytes=1, output_bytes=1).frame_bytes
    assert limit > BATCH_BYTES
    assert max(len(Reported(7, report).encode()) for report in wire.sent) < limit


async def test_while_the_connection_is_congested_nothing_is_taken(wire: Wire) -> None:
    pump = wire.pump()
    wire.congested = True
    pump.buffer.emit(b"1")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await wire.news.wait()
    wire.congested = False
    async with asyncio.timeout(1):
        await wire.news.wait()
    assert wire.sent == [Report(None, (b"1",), 0)]
    pump.finish()
