"""Which lines of a service's log a person sees, and how logs stay bounded."""

import json
from pathlib import Path

import pytest

from deploy.local.logs import Follower, bound, warning


def line(severity: str, message: str, **fields: object) -> bytes:
    record = {
        "time": "2026-01-01T00:00:00.000Z",
        "severity": severity,
        "message": message,
        "service": "worker",
        **fields,
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("severity", ["WARNING", "ERROR", "CRITICAL"])
def test_a_warning_or_worse_is_shown_with_its_fields(severity: str) -> None:
    assert warning(line(severity, "lease lost", job="job_1")) == f'{severity} lease lost  {{"job": "job_1"}}'


@pytest.mark.parametrize(
    "raw", [line("INFO", "job finished"), b"plain text", b"", b'{"severity":"ERROR', b'["severity":"']
)
def test_everything_else_is_not_shown(raw: bytes) -> None:
    assert warning(raw) is None


def test_a_long_line_is_cut() -> None:
    assert len(warning(line("ERROR", "x" * 10_000)) or "") < 500


def test_a_follower_reads_on_and_completes_partial_lines(tmp_path: Path) -> None:
    follower, first, second = Follower(tmp_path / "worker-1.log"), line("ERROR", "one"), line("ERROR", "two")
    assert follower.look() == []

    follower.log.write_bytes(first + second[:20])
    assert follower.look() == ["worker-1: ERROR one"]

    follower.log.write_bytes(first + second)
    assert follower.look() == ["worker-1: ERROR two"]


def test_a_flood_is_counted_instead_of_shown(tmp_path: Path) -> None:
    log = tmp_path / "worker-1.log"
    log.write_bytes(line("ERROR", "again") * 1_000)

    shown = Follower(log).look()

    assert len(shown) < 20
    assert "990 more" in shown[-1]


def test_a_log_beyond_its_bound_is_copied_and_emptied_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "worker-1.log"
    follower = Follower(log)
    with log.open("ab", buffering=0) as writer:
        writer.write(line("ERROR", "old") * 100)
        follower.look()
        bound(log, largest=1_000)
        writer.write(line("ERROR", "new"))

    assert log.read_bytes() == line("ERROR", "new")
    assert (tmp_path / "worker-1.log.1").read_bytes() == line("ERROR", "old") * 100
    assert follower.look() == ["worker-1: ERROR new"]


def test_a_log_within_its_bound_or_not_yet_there_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "worker-1.log"
    bound(log, largest=10)
    log.write_bytes(b"x" * 10)
    bound(log, largest=10)

    assert [path.name for path in tmp_path.iterdir()] == ["worker-1.log"]
