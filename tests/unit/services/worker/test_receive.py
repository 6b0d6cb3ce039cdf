"""What a worker must be set to before it may be pushed to, and which handlers it then has to refuse."""

from dataclasses import replace
from typing import Any

import pytest

from services.worker.execution.task import LoadedHandler
from services.worker.jwks import KeySet
from services.worker.push import Receiving
from services.worker.receive import receiving
from services.worker.settings import Settings
from shared.clock import ManualClock
from shared.config import Secret
from shared.errors import ConfigError
from shared.messaging.contract import Acknowledge, Delivery, Verdict
from shared.models.handler import HandlerEntry
from shared.telemetry.metrics import Metrics
from tests.unit.services.worker.signing import AUDIENCE, EMAIL, Issuer

SET = Settings(handlers=("acme:handlers",), id_keys=Secret(""), push=True, push_audience=AUDIENCE, push_emails=(EMAIL,))
ENTRY = HandlerEntry("page.shot", "images", "1", {}, {}, timeout_seconds=30, max_attempts=3, cache_for_seconds=0)


async def handle(_delivery: Delivery) -> Verdict:
    return Acknowledge()


def received(*entries: HandlerEntry, **changes: Any) -> Receiving:
    clock = ManualClock()
    keys = KeySet(Issuer(clock).fetch, clock, lambda: 0.5)
    catalogue = {entry.name: LoadedHandler(entry, "thread") for entry in entries or (ENTRY,)}
    return receiving(
        replace(SET, **changes),
        catalogue,
        {"loop": 200, "thread": 16, "process": 2},
        keys,
        handle,
        clock=clock,
        draw=lambda: 0.5,
        metrics=Metrics(),
    )


def test_each_lane_of_the_queues_that_are_served_has_an_endpoint() -> None:
    texts = replace(ENTRY, name="text.stats", queue="texts")
    assert set(received(ENTRY, texts).consumers) == {"images", "texts"}
    [queue] = received(ENTRY, texts, queues=("texts",)).consumers.values()
    assert {path: lane.limit for path, lane in queue.lanes.items()} == {
        "/push/texts/interactive": 13,
        "/push/texts/bulk": 3,
    }


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"push_audience": ""}, "SLUICE_PUSH_AUDIENCE"),
        ({"push_emails": ()}, "SLUICE_PUSH_EMAILS"),
        ({"push_issuers": ()}, "SLUICE_PUSH_ISSUERS"),
        ({"push_keys_url": "http://keys.example"}, "SLUICE_PUSH_KEYS_URL"),
        ({"push_keys_url": "http://localhost.evil.example"}, "SLUICE_PUSH_KEYS_URL"),
        ({"push_keys_url": "file:///etc/keys"}, "SLUICE_PUSH_KEYS_URL"),
        ({"push_keys_url": ""}, "SLUICE_PUSH_KEYS_URL"),
        ({"push_job_seconds": 600}, "SLUICE_PUSH_JOB_SECONDS"),
        ({"push_job_seconds": 0}, "SLUICE_PUSH_JOB_SECONDS"),
    ],
)
def test_a_worker_that_could_be_fooled_does_not_start(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        received(**changes)


@pytest.mark.parametrize(
    "url", ["https://keys.example/certs", "http://127.0.0.1:1/keys", "http://[::1]/k", "http://localhost/k"]
)
def test_keys_come_by_a_way_that_nobody_can_change(url: str) -> None:
    assert received(push_keys_url=url).consumers


def test_all_that_is_missing_is_said_at_once() -> None:
    with pytest.raises(ConfigError, match=r"AUDIENCE.*EMAILS"):
        received(push_audience="", push_emails=())


def test_a_handler_that_may_outlast_a_push_is_refused_by_name() -> None:
    slow = replace(ENTRY, name="page.film", timeout_seconds=541)
    with pytest.raises(ConfigError, match=r"page\.film may take 541 s.*540 s.*workers that pull"):
        received(ENTRY, slow)


def test_unless_another_worker_serves_its_queue() -> None:
    slow = replace(ENTRY, name="page.film", queue="films", timeout_seconds=3_600)
    assert set(received(ENTRY, slow, queues=("images",)).consumers) == {"images"}
