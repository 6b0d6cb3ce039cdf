"""What consumers are sent of a batch: what the API shows of it, within 20 KB."""

from typing import Any

import orjson
import pytest

from services.webhooks.messages import MAX_BYTES, batch_message
from shared.models.batch import Batch, BatchSpec, ReduceSpec, Reduction
from shared.models.batch_items import Items
from shared.models.batch_public import end_event, render_batch
from shared.models.event import Event
from shared.models.job import ErrorCode, JobError, JobStatus

AT = 1_750_000_000_000
URL = "https://api.example.com"


def ended(reduction: Reduction | None = None, **changes: Any) -> Batch:
    reduce = ReduceSpec("sum", "q", b"{}", 1.0, 1) if reduction else None
    spec = BatchSpec("bat_1", "acme", "text.stats", "q", AT, AT + 1, 1.0, 1, reduce=reduce, **changes)
    batch = Batch(spec).sealed(2, at=AT).merged(Items(succeeded=1, failed=2))
    return (batch.reducing(reduction) if reduction else batch).concluded(at=AT + 5)


def sent(batch: Batch) -> Any:
    event = Event.decode(end_event(batch, source="aggregator").encode())
    message = batch_message(event, URL)
    assert len(message.body) <= MAX_BYTES
    assert (message.subject, message.type, message.labels) == ("bat_1", "batch.completed", dict(batch.spec.labels))
    return orjson.loads(message.body)


def test_it_is_the_batch_with_whole_addresses() -> None:
    batch = ended(labels={"team": "a"})
    body = sent(batch)
    shown = orjson.loads(render_batch(batch))
    assert body["type"] == "batch.completed"
    assert body["data"].pop("urls") == {name: URL + path for name, path in shown.pop("urls").items()}
    assert body["data"] == shown


@pytest.mark.parametrize(("size", "omitted"), [(10, False), (100_000, True)])
def test_a_reductions_output_goes_along_where_it_fits(size: int, omitted: bool) -> None:
    output = orjson.dumps("x" * size)
    reduce = sent(ended(Reduction("job_r", JobStatus.SUCCEEDED, output)))["data"]["reduce"]
    assert (reduce["output_omitted"], reduce["output"]) == (omitted, None if omitted else "x" * size)


def test_a_long_error_is_cut_and_not_the_limit() -> None:
    error = JobError(ErrorCode.HANDLER_ERROR, "é" * 30_000, retryable=False)
    reduce = sent(ended(Reduction("job_r", JobStatus.FAILED, None, error)))["data"]["reduce"]
    assert (reduce["error"]["code"], set(reduce["error"]["message"])) == ("handler_error", {"é"})
