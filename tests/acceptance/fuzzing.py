"""Requests made of the served description, sent to a gateway, whose every answer must be as described.

Schemathesis is imported here alone, and this by the one test that needs it: importing it takes a third of a second in
each process that collects tests. Its plugin for pytest, which does nothing for us, is turned off for the same reason.
"""

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.acceptance.client import Json

SEED = 20_260_131
EXAMPLES = 8
"""For each operation with data that fits the description, and as many with data that does not."""
SECONDS = 50.0
BUSY_SECONDS = 20.0
"""For how long a machine that has too much to do may turn requests away."""
BEYOND_A_SCHEMA = {"/from", "/run_at", "/delay_seconds", "/expires_at", "/url", "/webhook/url", "/since", "/headers"}
"""Fields whose limits depend on the time, or on each other."""


class Fuzz:
    """Schemathesis on every operation. Runs in a thread of its own, for its client is a blocking one."""

    def __init__(self, document: Json, base_url: str, token: str, things: Mapping[str, Iterator[str]]) -> None:
        self._schema = schemathesis.openapi.from_dict(document)
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._things = things
        self._ends = time.monotonic() + SECONDS
        self._turn = itertools.count()
        self.seen: Counter[tuple[str, int]] = Counter()

    def run(self) -> None:
        for found in self._schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            self._try(operation, GenerationMode.POSITIVE)
            if operation.definition.raw["security"]:  # what takes no key takes next to nothing that could be wrong
                self._try(operation, GenerationMode.NEGATIVE)

    def _try(self, operation: Any, mode: GenerationMode) -> None:
        @seed(SEED)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=False,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: "Case[Any]") -> None:
            if self.seen.total() and time.monotonic() > self._ends and self._tried(operation.label):
                return
            self._send(case, mode)

        send()

    def _tried(self, label: str) -> bool:
        return any(seen == label for seen, _ in self.seen)

    def _send(self, case: "Case[Any]", mode: GenerationMode) -> None:
        if mode is GenerationMode.POSITIVE:
            case.query.pop("cursor", None)  # a good one is what a list has given out
            if isinstance(case.body, dict):
                case.body.pop("cursor", None)
            if next(self._turn) % 2:
                self._name(case)
        response = self._answer(case)
        self.seen[case.operation.label, response.status_code] += 1
        case.validate_response(response, headers=self._headers, excluded_checks=[positive_data_acceptance])
        if mode is GenerationMode.POSITIVE and response.status_code in {400, 415, 422}:
            problem = response.json()
            pointers = {error["pointer"] for error in problem.get("errors", [])}
            assert pointers, problem
            assert pointers <= BEYOND_A_SCHEMA, (problem, case.as_curl_command())

    def _name(self, case: "Case[Any]") -> None:
        for part, names in self._things.items():
            if part in f"{case.method} {case.path}":
                for name in case.path_parameters:
                    case.path_parameters[name] = next(names)
                return

    def _answer(self, case: "Case[Any]") -> Any:
        """What is answered once the machine is not too busy to."""
        patience = time.monotonic() + BUSY_SECONDS
        while True:
            response = case.call(base_url=self._base_url, headers=self._headers)
            if response.status_code != requests.codes.unavailable or time.monotonic() > patience:
                return response
            case.validate_response(response, headers=self._headers, excluded_checks=[not_a_server_error])
            time.sleep(float(response.headers["retry-after"][0]))
