"""The description is valid OpenAPI 3.1, and says what the table of routes says: every route, and nothing else."""

from collections.abc import Iterator
from typing import Any, get_type_hints

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.gateway.batches.requests import parse_batch
from services.gateway.catalogue.routes import shown as shown_handler
from services.gateway.http.fields import Fields
from services.gateway.http.problems import TYPES
from services.gateway.jobs.submission import parse_submission
from services.gateway.openapi.announced import MAX_DESCRIBED, described
from services.gateway.openapi.parts import ANY, load, operations
from services.gateway.operators.dead_replay import Outcome
from services.gateway.pages.problem_pages import answerers, slugs
from services.gateway.routes import (
    BatchEndpoints,
    JobEndpoints,
    OpenEndpoints,
    OperatorEndpoints,
    Route,
    WebhookEndpoints,
    batches_table,
    open_table,
    operators_table,
    table,
    webhooks_table,
)
from services.gateway.statistics.run_times import RunTime
from shared.clock import ManualClock
from shared.models.batch import Batch, BatchEntry, BatchSpec, BatchStatus, ReduceSpec
from shared.models.batch_public import render_batch, render_batch_entry
from shared.models.delivery import Delivery, DeliveryState, ErrorClass, shown_delivery
from shared.models.handler import HandlerEntry
from shared.models.job import ErrorCode, Job, JobSpec, JobStatus, Lane
from shared.models.key import SCOPES, ApiKey
from shared.models.key import shown as shown_key
from shared.models.public import render, render_entry
from shared.models.webhook import EVENT_TYPES, Endpoint, shown_endpoint
from shared.storage.explanation import Reason

DOCUMENT = load()
NO_KEY = None


def types_of(endpoints: Any) -> Any:
    """The classes whose methods the table names, in place of objects of them."""
    return type(endpoints.__name__, (), get_type_hints(endpoints))


def keyed_routes() -> list[Route]:
    return [
        *table(types_of(JobEndpoints)),
        *batches_table(types_of(BatchEndpoints)),
        *operators_table(types_of(OperatorEndpoints)),
        *webhooks_table(types_of(WebhookEndpoints)),
    ]


def registered() -> set[tuple[str, str, str | None]]:
    """Method, path and scope of every route."""
    keyed = {(route.method.lower(), route.path, route.scope) for route in keyed_routes()}
    return keyed | {("get", route.path, NO_KEY) for route in open_table(types_of(OpenEndpoints))}


def all_operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in operations(item).items():
            yield method, path, operation


def scope_of(operation: dict[str, Any]) -> str | None:
    """As `security` says."""
    match operation["security"]:
        case []:
            return NO_KEY
        case [{"key": []}]:
            return ""
        case [{"key": [scope]}]:
            return str(scope)
    raise AssertionError(f"{operation['security']} is no scope")


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_route_is_described_with_its_scope_and_nothing_else_is() -> None:
    said = {(method, path, scope_of(operation)) for method, path, operation in all_operations()}
    assert said == registered()


@pytest.mark.parametrize(("method", "path", "operation"), list(all_operations()))
def test_the_scope_is_said_for_readers_and_for_tools(method: str, path: str, operation: dict[str, Any]) -> None:
    scope = scope_of(operation)
    assert operation.get("x-scope") == (scope if scope is NO_KEY else scope or ANY)
    assert not scope or scope in SCOPES
    assert operation["operationId"]
    assert operation["summary"]
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}


def test_no_operation_has_the_name_of_another() -> None:
    names = [operation["operationId"] for _, _, operation in all_operations()]
    assert len(set(names)) == len(names)


def test_each_type_of_problem_is_described_under_its_status_and_nothing_else_is() -> None:
    said: dict[str, set[int]] = {}
    for _, _, operation in all_operations():
        for status, response in operation["responses"].items():
            for slug in slugs(response, DOCUMENT):
                said.setdefault(slug, set()).add(int(status))
    assert said.pop("method-not-allowed", {405}) == {405}  # of no operation, but of what is none
    assert said == {slug: {each.status} for slug, each in TYPES.items() if slug != "method-not-allowed"}


def test_every_refusal_says_which_problems_it_can_be() -> None:
    for method, path, operation in all_operations():
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert slugs(response, DOCUMENT), f"{method} {path} {status}"


def test_the_problem_types_that_are_listed_are_those_that_exist() -> None:
    listed = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert sorted(listed) == sorted(f"/problems/{slug}" for slug in TYPES)


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ("Scope", SCOPES),
        ("JobStatus", JobStatus),
        ("BatchStatus", BatchStatus),
        ("ErrorCode", ErrorCode),
        ("ReplayOutcome", Outcome),
        ("WebhookEvent", EVENT_TYPES),
        ("DeliveryState", DeliveryState),
        ("DeliveryError", ErrorClass),
    ],
)
def test_lists_of_words_are_those_of_the_code(schema: str, values: Any) -> None:
    assert sorted(DOCUMENT["components"]["schemas"][schema]["enum"]) == sorted(values)


def test_the_reasons_of_explanations_and_the_lanes_are_those_of_the_code() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert sorted(schemas["Explanation"]["properties"]["reason"]["enum"]) == sorted(Reason)
    assert schemas["Lane"]["properties"]["lane"]["enum"] == list(Lane)


def members(schema: str) -> set[str]:
    found = DOCUMENT["components"]["schemas"][schema]
    assert set(found["required"]) <= set(found["properties"])
    return set(found["properties"])


def test_what_is_shown_has_the_members_that_are_described() -> None:
    key = ApiKey("k", "acme", b"", SCOPES)
    assert set(shown_key(key, now=0)) == members("Key")
    assert set(shown_key(key, now=0, secret="s")) == members("KeyWithSecret")
    endpoint = Endpoint("whk_1", "acme", "https://example.com", frozenset(), (), 0, 0)
    assert set(shown_endpoint(endpoint, now=0)) == members("Webhook")
    assert set(shown_endpoint(endpoint, now=0, secret="s")) == members("WebhookWithSecret")
    delivery = Delivery("dlv_1", "acme", "msg_1", "job.failed", "whk_1", "job_1", b"", 0, 1, 0)
    assert set(shown_delivery(delivery)) == members("Delivery")
    assert set(shown_handler(entry(), RunTime(1.0, 2.0))) == members("Handler")
    job = Job.queued(JobSpec("job_1", "acme", "h", "q", b"", 0, 1, 1.0, 1))
    assert set(orjson.loads(render(job))) | {"input"} == members("Job")
    assert set(orjson.loads(render_entry(job))) == members("JobEntry")
    batch = Batch(BatchSpec("bat_1", "acme", "h", "q", 0, 1, 1.0, 1, reduce=ReduceSpec("sum", "q", b"{}", 1.0, 1)))
    shown = orjson.loads(render_batch(batch))
    assert set(shown) == members("Batch")
    assert set(shown["counts"]) == members("BatchCounts")
    described_reduce = DOCUMENT["components"]["schemas"]["Batch"]["properties"]["reduce"]
    assert set(shown["reduce"]) == set(described_reduce["properties"])
    assert set(orjson.loads(render_batch_entry(BatchEntry(batch, batch.counts)))) == members("BatchEntry")


def test_the_fields_of_requests_are_those_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()
    for how in ("required", "optional"):
        original = getattr(Fields, how)

        def noted(self: Fields, name: str, reader: Any, original: Any = original) -> Any:
            read.add(name)
            return original(self, name, reader)

        monkeypatch.setattr(Fields, how, noted)
    parse_submission({"handler": "h", "input": 1}, now=ManualClock().now())
    assert read == members("JobRequest")
    read.clear()
    parse_batch({"handler": "h", "inputs": [1]})
    assert read == members("BatchRequest")


def entry(name: str = "text.stats", schema: Any = None, **changes: Any) -> HandlerEntry:
    return HandlerEntry(
        name=name,
        queue="texts",
        version="1",
        input_schema={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        if schema is None
        else schema,
        output_schema={"type": "object"},
        timeout_seconds=1.0,
        max_attempts=1,
        cache_for_seconds=0,
        **changes,
    )


NESTED = {
    "$defs": {
        "Row": {"type": "object", "properties": {"$ref": {"type": "string"}, "next": {"$ref": "#/$defs/Row"}}},
        "All": {"type": "array", "items": {"$ref": "#/$defs/Row"}, "examples": [[{"$ref": "#/left/alone"}]]},
    },
    "$ref": "#/$defs/All",
}


def with_handlers(*entries: HandlerEntry) -> dict[str, Any]:
    found = described(DOCUMENT, entries, lambda name, input: True)
    OpenAPIV31SpecValidator(found).validate()
    return found


def test_announced_handlers_are_described_with_the_document_still_valid() -> None:
    found = with_handlers(entry(description="Counts.\nMore."), entry("b.c", NESTED), entry("any", {}))
    request = found["components"]["schemas"]["JobRequest"]
    assert [each["properties"]["handler"]["const"] for each in request["oneOf"]] == ["text.stats", "b.c", "any"]
    examples = found["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert examples["text.stats"] == {
        "summary": "text.stats: Counts.",
        "value": {"handler": "text.stats", "input": {"text": "text"}},
    }
    assert load() == DOCUMENT


def test_references_inside_a_handlers_schema_point_to_where_it_stands() -> None:
    schema = with_handlers(entry("b.c", NESTED))["components"]["schemas"]["b.c.input"]
    base = "#/components/schemas/b.c.input"
    assert schema["$ref"] == f"{base}/$defs/All"
    assert schema["$defs"]["All"]["items"] == {"$ref": f"{base}/$defs/Row"}
    assert schema["$defs"]["All"]["examples"] == [[{"$ref": "#/left/alone"}]]
    assert schema["$defs"]["Row"]["properties"]["$ref"] == {"type": "string"}


@pytest.mark.parametrize("keyword", ["$id", "$anchor", "$dynamicRef"])
def test_a_schema_that_addresses_itself_in_other_ways_is_left_to_the_handlers_own_page(keyword: str) -> None:
    schemas = with_handlers(entry("odd", {"properties": {"a": {keyword: "here"}}}))["components"]["schemas"]
    assert set(schemas["odd.input"]) == {"description"}
    schemas = with_handlers(entry("fine", {"properties": {keyword: {"type": "string"}}}))["components"]["schemas"]
    assert keyword in schemas["fine.input"]["properties"]


def test_an_example_that_the_handler_would_refuse_is_not_given() -> None:
    found = described(DOCUMENT, [entry(), entry("b")], lambda name, input: name == "b")
    content = found["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert set(content["examples"]) == {"b"}


def test_too_many_handlers_are_left_to_their_own_list() -> None:
    many = [entry(f"h{n}") for n in range(MAX_DESCRIBED + 1)]
    assert described(DOCUMENT, many, lambda name, input: True) is DOCUMENT
    assert described(DOCUMENT, [], lambda name, input: True) is DOCUMENT


def test_a_page_of_a_problem_knows_who_answers_it() -> None:
    assert ["GET /v1/queues" in each for each in answerers("key-revoked", DOCUMENT)] == [False]
    assert len(list(answerers("internal", DOCUMENT))) == len(registered())
