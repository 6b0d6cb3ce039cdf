"""Batches of the examples over HTTP, reduced to one answer that is checked against a direct computation."""

import statistics
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest

from examples import columns, corpus, texts
from tests.acceptance.client import ApiClient, Json
from tests.unit.examples.tables_made import measurements

SONNETS = (Path(texts.__file__).parent / "samples" / "sonnets.txt").read_text(encoding="utf-8")


async def over(api: ApiClient, inputs: Iterable[object], handler: str, reduce: Json) -> Json:
    """A batch of these, uploaded as NDJSON, once it is over."""
    body = b"".join(orjson.dumps(each) + b"\n" for each in inputs)
    answer = await api.request(
        "POST",
        "/v1/batches",
        params={"handler": handler, "reduce": orjson.dumps(reduce).decode()},
        data=body,
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer.status == 202, answer.body
    batch: Json = answer.json
    for _ in range(6):
        if batch["status"] not in {"open", "running"}:
            return batch
        path = batch["urls"]["self"]
        batch = (await api.request("GET", path, headers={"Prefer": "wait=30"})).json
    raise AssertionError(f"the batch is still {batch['status']}: {batch['counts']}")


async def outputs(api: ApiClient, batch: Json) -> list[Json]:
    answer = await api.request("GET", batch["urls"]["outputs"])
    assert answer.status == 200
    return [orjson.loads(line) for line in answer.body.splitlines()]


async def test_the_words_of_a_corpus(api: ApiClient) -> None:
    parts = [{"text": text} for text in corpus.cut(SONNETS)] * 20
    batch = await over(api, parts, "corpus.count", {"handler": "corpus.merge", "top": 50})
    assert batch["status"] == "completed"
    assert batch["counts"]["succeeded"] == len(parts) == 100
    expected = Counter(corpus.words(SONNETS * 20))
    found = batch["reduce"]["output"]
    assert (found["texts"], found["words"], found["distinct"]) == (100, expected.total(), len(expected))
    assert [each["count"] for each in found["top"]] == [count for _, count in expected.most_common(50)]
    lines = await outputs(api, batch)
    assert [line["index"] for line in lines] == list(range(100))
    assert sum((Counter(line["output"]["counts"]) for line in lines), Counter()) == expected


async def test_the_columns_of_a_large_table(api: ApiClient) -> None:
    lines = list(measurements(20_000))
    parts = [{"csv": part} for part in columns.cut(lines)]
    batch = await over(api, parts, "columns.measure", {"handler": "columns.merge"})
    assert batch["status"] == "completed"
    levels = [Fraction(line.split(",")[1]) for line in lines[1:]]
    found = batch["reduce"]["output"]
    level = found["columns"][1]
    assert (found["rows"], found["parts"], found["missing_parts"]) == (20_000, len(parts), 0)
    assert level["mean"] == float(statistics.mean(levels))
    assert level["stddev"] == pytest.approx(float(statistics.stdev(levels)), rel=1e-14)
    assert Fraction(level["sum"]) == sum(levels)


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [
        ({"handler": "sum", "field": "/words"}, 15),
        ({"handler": "mean", "field": "/words"}, 3.0),
        ({"handler": "count"}, 5),
        ({"handler": "quantiles", "field": "/words", "q": [0.5]}, [{"q": 0.5, "value": 3.0}]),
        ({"handler": "histogram", "field": "/words", "bins": [1, 3, 5]}, {"edges": [1, 3, 5], "counts": [2, 3]}),
        ({"handler": "collect", "field": "/words"}, [1, 2, 3, 4, 5]),
    ],
)
async def test_a_built_in_reducer(api: ApiClient, reduce: Json, expected: Any) -> None:
    batch = await over(api, [{"text": "word " * n} for n in range(1, 6)], "text.stats", reduce)
    found = batch["reduce"]
    assert (batch["status"], found["status"], found["error"]) == ("completed", "succeeded", None)
    if isinstance(expected, dict):
        assert found["output"] == {**expected, "below": 0, "above": 0}
    else:
        assert found["output"] == expected


async def test_a_reduction_that_fails_says_why_and_the_batch_completes(api: ApiClient) -> None:
    batch = await over(api, [1, "two"], "debug.echo", {"handler": "sum"})
    assert (batch["status"], batch["counts"]["succeeded"]) == ("completed", 2)
    found = batch["reduce"]
    assert (found["status"], found["output"], found["error"]["code"]) == ("failed", None, "rejected")
    assert found["error"]["message"] == "The output of item 1 has no number at its root, but a string"
    job = (await api.get(found["job"])).json
    assert (job["status"], job["batch"]) == ("failed", batch["id"])


async def test_options_that_do_not_fit_are_refused_before_anything_runs(api: ApiClient) -> None:
    body = {"handler": "debug.echo", "inputs": [1], "reduce": {"handler": "sum", "feild": "/a"}}
    answer = await api.request("POST", "/v1/batches", json=body)
    assert (answer.status, answer.json["type"]) == (422, "/problems/invalid-input")
    assert answer.json["errors"][0]["pointer"].startswith("/reduce")
    answer = await api.submit("sum", {})
    assert (answer.status, answer.json["type"]) == (422, "/problems/reducer")
