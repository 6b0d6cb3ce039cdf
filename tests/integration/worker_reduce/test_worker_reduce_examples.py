"""The examples of batches, item by item and reduced by a worker, against a direct computation."""

import asyncio
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from deploy.local.backends import Backends
from examples import columns, corpus
from shared.models import bitmap
from shared.models.batch import Batch, BatchSpec, BatchStatus, ReduceSpec
from shared.models.batch_items import Items
from shared.models.job import JobStatus
from tests.integration.worker_reduce.bench import DAY_MS, TENANT, Bench, bench
from tests.unit.examples.tables_made import measurements

HANDLERS = ("examples.corpus:handlers", "examples.columns:handlers")
SONNETS = (Path(corpus.__file__).parent / "samples" / "sonnets.txt").read_text(encoding="utf-8")


@pytest_asyncio.fixture(scope="session")
async def own(backends: Backends) -> AsyncIterator[Bench]:
    async with bench(backends, queue="default", handlers=HANDLERS, processes=2) as running:
        yield running


async def answer(b: Bench, handler: str, inputs: Sequence[object], reduce: str, options: object = None) -> Any:
    """Run the items through the bulk lane, then the reduction of those that succeeded."""
    now = b.adapters.clock.now()
    id = b.ids.issue("bat", TENANT, created_at=now, lifetime_ms=DAY_MS).text
    wanted = ReduceSpec(reduce, "default", orjson.dumps(options or {}), 60.0, 2)
    spec = BatchSpec(id, TENANT, handler, "default", now, now + DAY_MS, 30.0, 3, reduce=wanted)
    items = [spec.item(b.ids.item(TENANT, id, n).text, n, orjson.dumps(each)) for n, each in enumerate(inputs)]
    await asyncio.gather(*map(b.publish, items))
    over = [await b.over(item.id) for item in items]
    there = bitmap.of(n for n, job in enumerate(over) if job.status is JobStatus.SUCCEEDED)
    known = Items(succeeded=there, failed=bitmap.full(len(items)) & ~there)
    batch = Batch(spec, BatchStatus.RUNNING, total=len(items), items=known, sealed_at=now)
    await b.keep(batch)
    reduction = b.reduction(batch)
    await b.publish(reduction)
    job = await b.over(reduction.id)
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert job.output is not None
    return orjson.loads(job.output)


async def test_words_of_a_corpus(own: Bench) -> None:
    inputs: list[object] = [{"text": text} for text in corpus.cut(SONNETS)]
    found = await answer(own, "corpus.count", [*inputs, {"no": "text"}], "corpus.merge", {"top": 3})
    expected = Counter(corpus.words(SONNETS))
    assert (found["texts"], found["missing"], found["words"]) == (5, 1, expected.total())
    assert {each["word"]: each["count"] for each in found["top"]}.items() <= expected.items()


async def test_columns_of_a_table(own: Bench) -> None:
    lines = list(measurements(4_000))
    parts = [{"csv": part} for part in columns.cut(lines, 10_000)]
    found = await answer(own, "columns.measure", parts, "columns.merge")
    levels = [Fraction(line.split(",")[1]) for line in lines[1:]]
    level = found["columns"][1]
    assert (found["parts"], found["rows"]) == (len(parts), 4_000)
    assert level["mean"] == float(statistics.mean(levels))
    assert level["stddev"] == pytest.approx(float(statistics.stdev(levels)), rel=1e-14)


async def test_a_built_in_reducer_on_outputs_of_examples(own: Bench) -> None:
    lines = list(measurements(500))
    parts = [{"csv": part} for part in columns.cut(lines, 3_000)]
    assert await answer(own, "columns.measure", parts, "sum", {"field": "/rows"}) == 500
