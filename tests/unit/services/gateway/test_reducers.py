"""A reducer takes the outputs of a batch: no job is posted to it, and nobody is told that one could be."""

from dataclasses import replace

from services.gateway.openapi.announced import described
from services.gateway.openapi.parts import load
from tests.unit.services.gateway.backends import PLAIN, Backends, gateway, refused

REDUCER = replace(PLAIN, name="sum", queue="", reduces=True)


async def test_no_job_is_posted_to_a_reducer() -> None:
    backends = Backends()
    await backends.announce(PLAIN, REDUCER)
    one = await gateway(backends)
    problem = await refused(one.post({"handler": "sum", "input": {}}), 422, "reducer")
    assert "reduce" in problem.detail
    assert backends.published() == []


def test_the_description_does_not_offer_it_for_jobs() -> None:
    document = load()
    found = described(document, [PLAIN, REDUCER], lambda name, input: True)
    [choice] = found["components"]["schemas"]["JobRequest"]["oneOf"]
    assert choice["title"] == "plain"
    assert set(found["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]) == {
        "plain"
    }
    assert "sum.input" in found["components"]["schemas"]
    alone = described(document, [REDUCER], lambda name, input: True)
    assert alone["components"]["schemas"]["JobRequest"] == document["components"]["schemas"]["JobRequest"]
