"""Every example handler does its job on a real file, over HTTP."""

import base64
import csv
import io
import statistics
from pathlib import Path

from PIL import Image

from tests.acceptance.client import ApiClient

SAMPLES = Path(__file__).parents[2] / "examples" / "samples"


def _png(width: int, height: int) -> str:
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


async def test_a_thumbnail_is_made(api: ApiClient) -> None:
    job = await api.result("image.thumbnail", {"image": _png(400, 200), "width": 100, "height": 100})
    assert job["status"] == "succeeded", job["error"]
    with Image.open(io.BytesIO(base64.b64decode(job["output"]["image"]))) as made:
        assert made.size == (100, 50)


async def test_a_csv_is_profiled(api: ApiClient) -> None:
    text = next(SAMPLES.glob("*.csv")).read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    job = await api.result("csv.profile", {"csv": text})
    assert job["status"] == "succeeded", job["error"]
    assert job["output"]["rows"] == len(rows)
    columns = {column["name"]: column for column in job["output"]["columns"]}
    assert list(columns) == list(rows[0])
    for name, column in columns.items():
        if column.get("mean") is not None:
            values = [float(row[name]) for row in rows if row[name]]
            assert abs(column["mean"] - statistics.fmean(values)) < 1e-6 * max(1.0, abs(column["mean"]))


async def test_a_text_is_measured(api: ApiClient) -> None:
    text = next(SAMPLES.glob("*.txt")).read_text(encoding="utf-8")
    job = await api.result("text.stats", {"text": text})
    assert job["status"] == "succeeded", job["error"]
    assert job["output"]["characters"] == len(text)
    assert job["output"]["words"] > 100


async def test_any_json_comes_back(api: ApiClient) -> None:
    value = {"ü": [1, 2.5, None, True, {"deep": "\u0000 \U0001f600"}], "": -0.0}
    job = await api.result("debug.echo", value)
    assert (job["status"], job["output"]) == ("succeeded", value)


async def test_a_failing_handler_fails_its_job_with_its_history(api: ApiClient) -> None:
    job = await api.result("debug.fail", {"message": "as asked"}, max_attempts=2)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "attempts_exhausted"
    assert "as asked" in job["error"]["message"]
    assert [each["code"] for each in job["error"]["attempts"]] == ["handler_error", "handler_error"]


async def test_a_flaky_handler_succeeds_in_the_end(api: ApiClient) -> None:
    job = await api.result("debug.flaky", {"failures": 2})
    assert (job["status"], job["attempt"]) == ("succeeded", 3)
    assert job["error"] is None
