"""Dead letters, from the failure to the replay: what is listed, what it died of, and one new job of each."""

import asyncio
import json
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.local.system import System
from shared.clock import parse_rfc3339, rfc3339
from shared.messaging.contract import Message
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher
from shared.messaging.topics import Names
from shared.models.envelope import Envelope
from shared.models.job import JobSpec, Lane
from tests.acceptance.client import Answer, ApiClient, Json
from tests.acceptance.conftest import ACME
from tests.acceptance.figures import found, lane
from tests.acceptance.lives import frozen, polled, until
from tests.acceptance.test_jobs import problem
from tests.acceptance.test_operators import THUMBNAIL
from tests.integration.deploy.admin_process import Terminal

LETTERS = "/v1/dead-letters"


@pytest.fixture
def cause() -> str:
    """What nothing else dies of. Letters only: what has digits counts as a value."""
    return "".join(random.choices(string.ascii_lowercase, k=16))


async def dead(api: ApiClient, cause: str, count: int = 1, **fields: Any) -> list[Json]:
    """Jobs that were given up on, latest first."""
    made = [await api.result("debug.fail", {"message": f"{cause} {n}"}, max_attempts=1, **fields) for n in range(count)]
    assert {job["status"] for job in made} == {"failed"}
    return sorted(made, key=lambda job: (job["finished_at"], job["id"]), reverse=True)


async def mark(api: ApiClient, id: str) -> str:
    """The fingerprint of a dead letter, as soon as it is listed."""
    listed = await polled(
        lambda: api.request("GET", LETTERS, params={"limit": "100"}),
        lambda answer: id in [each["job"]["id"] for each in answer.json["data"]],
    )
    return next(str(each["fingerprint"]) for each in listed.json["data"] if each["job"]["id"] == id)


async def listed(api: ApiClient, **query: str) -> list[Json]:
    answer = await api.request("GET", LETTERS, params=query)
    assert answer.status == 200, answer.body
    found: list[Json] = answer.json["data"]
    return found


async def replay(api: ApiClient, **body: Any) -> Answer:
    return await api.request("POST", f"{LETTERS}/replay", json=body)


async def test_what_exhausted_its_attempts_is_listed_with_them_and_grouped(api: ApiClient, cause: str) -> None:
    jobs = await dead(api, cause, 3, labels={"team": "a"})
    print = await mark(api, jobs[0]["id"])
    found = await listed(api, fingerprint=print)
    assert [each["job"]["id"] for each in found] == [job["id"] for job in jobs]
    for each, job in zip(found, jobs, strict=True):
        assert each["tenant"] == "acme"
        assert each["job"] == {name: value for name, value in job.items() if name != "output"}
        assert [attempt["attempt"] for attempt in each["job"]["error"]["attempts"]] == [1]
    groups = (await api.request("GET", f"{LETTERS}/groups", params={"fingerprint": print})).json
    [group] = groups["data"]
    assert (group["count"], group["latest"], group["handler"]) == (3, jobs[0]["id"], "debug.fail")
    assert cause in group["message"]
    assert groups["complete"] is True


async def test_what_succeeded_or_was_rejected_is_no_dead_letter(api: ApiClient, runs: Any) -> None:
    done = await api.result("debug.echo", 1)
    rejected = await api.result("counted.plain", runs.input(reject=True))
    assert rejected["error"]["code"] == "rejected"
    ids = [each["job"]["id"] for each in await listed(api, limit="100")]
    assert not {done["id"], rejected["id"]} & set(ids)


async def test_replaying_by_filter_makes_one_new_job_of_each_however_often_it_is_asked(
    api: ApiClient, cause: str
) -> None:
    """R20."""
    jobs = await dead(api, cause, 5)
    print = await mark(api, jobs[0]["id"])
    filter = {"fingerprint": print, "failed_before": "2100-01-01T00:00:00Z"}
    foreseen = await replay(api, filter=filter, dry_run=True)
    assert foreseen.json["counts"]["would_replay"] == 5
    first = (await replay(api, filter=filter, limit=2)).json
    assert (first["counts"]["replayed"], len(first["data"])) == (2, 2)
    rest = (await replay(api, filter=filter, cursor=first["next"])).json
    assert rest["counts"]["replayed"] == 3
    made = {each["id"]: each["replay"] for each in (*first["data"], *rest["data"])}
    assert set(made) == {job["id"] for job in jobs}
    for id, new in made.items():
        over = await api.over(new)
        assert (over["status"], over["replay_of"], over["max_attempts"]) == ("failed", id, 1)
    again = (await replay(api, filter={**filter, "failed_before": jobs[0]["finished_at"]})).json
    assert {each["id"]: each["replay"] for each in again["data"]}.items() <= made.items()
    assert {each["outcome"] for each in again["data"]} == {"replayed_before"}
    assert [(await api.get(job["id"])).json for job in jobs] == jobs  # nothing that is finished has changed


async def test_the_replay_of_a_job_and_of_a_dead_letter_are_the_same(api: ApiClient, cause: str) -> None:
    [job] = await dead(api, cause)
    one = (await api.request("POST", f"/v1/jobs/{job['id']}/replay")).json
    answer = (await replay(api, id=job["id"])).json
    assert [(each["outcome"], each["replay"]) for each in answer["data"]] == [("replayed_before", one["id"])]


async def test_a_tenants_dead_letters_are_its_own(api: ApiClient, foreign: ApiClient, cause: str) -> None:
    [job] = await dead(api, cause)
    scoped = await foreign.request("POST", "/v1/keys", json={"scopes": ["operator"]})
    other = ApiClient(foreign.session, foreign.base_url, scoped.json["secret"])
    assert job["id"] not in [each["job"]["id"] for each in await listed(other, limit="100")]
    problem(await replay(other, id=job["id"]), 404, "not-found")
    problem(await other.request("GET", LETTERS, params={"tenant": "acme"}), 403, "forbidden")
    assert job["id"] in [each["job"]["id"] for each in await listed(foreign, tenant="acme")]  # it has `system`


async def test_what_the_broker_gave_up_on_ends_as_undeliverable_and_can_be_replayed(
    api: ApiClient, system: System
) -> None:
    """R11: its message comes by the dead-letter topic while the queue is paused, so that nobody runs it first."""
    assert (await api.request("POST", "/v1/queues/images/pause")).status == 200
    try:
        job = await _left_alone(api)
        await _bury(system, job)
        over = await until(api, job["id"], lambda job: job["status"] == "failed")
        assert (over["error"]["code"], over["started_at"], over["attempt"]) == ("undeliverable", None, 0)
        why = (await api.request("GET", f"/v1/jobs/{job['id']}/explain")).json
        assert why["reason"] == "undeliverable"
        await mark(api, job["id"])
        made = (await replay(api, id=job["id"])).json["data"][0]
        assert made["outcome"] == "replayed"
    finally:
        assert (await api.request("POST", "/v1/queues/images/resume")).status == 200
    assert (await api.over(made["replay"]))["status"] == "succeeded"
    assert (await api.get(job["id"])).json == over  # its own message comes as well, and changes nothing


async def _left_alone(api: ApiClient) -> Json:
    """A job that no worker takes, once all have heard of the pause."""
    async with asyncio.timeout(60):
        while True:
            job: Json = (await api.submit("image.thumbnail", THUMBNAIL, cache="off")).json
            if (await api.get(job["id"], wait=2)).json["status"] == "queued":
                return job


async def _bury(system: System, job: Json) -> None:
    """As the broker does after the last delivery."""
    spec = JobSpec(
        id=job["id"],
        tenant="acme",
        handler=job["handler"],
        queue="images",
        input=json.dumps(THUMBNAIL).encode(),
        created_at=parse_rfc3339(job["created_at"]),
        expires_at=parse_rfc3339(job["created_at"]) + 86_400_000,
        timeout_seconds=30.0,
        max_attempts=job["max_attempts"],
    )
    channel = PubSubChannel.open(system.options.project, emulator=system.backends.pubsub.address)
    publisher = PubSubPublisher(channel)
    topic = Names(system.options.prefix).dead("images", Lane.INTERACTIVE)
    try:
        await publisher.publish(topic, Message(Envelope(spec).encode()), timeout_seconds=10)
    finally:
        await publisher.aclose(deadline_seconds=1)
        await channel.aclose()


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("figures")
async def test_explain_names_the_paused_queue_and_how_much_waits(api: ApiClient) -> None:
    async def empty() -> Json | None:
        figures = await lane(api, "images")
        return figures if figures["backlog"] == 0 else None

    await found(empty, within=120)  # from then on it is known how much waits
    assert (await api.request("POST", "/v1/queues/images/pause")).status == 200
    try:
        job = await _left_alone(api)
        why = await polled(
            lambda: api.request("GET", f"/v1/jobs/{job['id']}/explain"),
            lambda answer: answer.json["reason"] == "queue_paused" and bool(answer.json["backlog"]),
        )
        assert "images" in why.json["detail"]
    finally:
        assert (await api.request("POST", "/v1/queues/images/resume")).status == 200
    await api.over(job["id"])


async def test_the_store_frozen_is_503(api: ApiClient, system: System, cause: str) -> None:
    [job] = await dead(api, cause)
    async with frozen(system, "firestore"):
        answers = await asyncio.gather(api.request("GET", LETTERS), replay(api, id=job["id"]), replay(api, filter={}))
    for answer in answers:
        problem(answer, 503, "unavailable")
    await polled(lambda: replay(api, id=job["id"]), lambda answer: answer.status == 200)


# From the terminal


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """`sluice-admin dead-letters` of this system."""

    terminal: Terminal
    url: str

    async def run(self, *arguments: str, key: str = ACME.token) -> tuple[int, str, str]:
        """Exit status, and what it printed."""
        environ = {"SLUICE_URL": self.url, "SLUICE_API_KEY": key}
        status, out, err = await self.terminal.run("dead-letters", *arguments, environ=environ)
        assert key not in out + err
        return status, out, err

    async def told(self, *arguments: str) -> Any:
        status, out, err = await self.run(*arguments, "-o", "json")
        assert status == 0, err
        return json.loads(out)


@pytest.fixture
def admin(terminal: Terminal, system: System) -> DeadLetters:
    return DeadLetters(terminal, system.base_url)


def ids(letters: Sequence[Json]) -> list[str]:
    return [each["job"]["id"] for each in letters]


async def test_an_operator_lists_and_replays_from_a_terminal(api: ApiClient, admin: DeadLetters, cause: str) -> None:
    jobs = await dead(api, cause, 3)
    print = await mark(api, jobs[0]["id"])
    groups = await admin.told("list", "--fingerprint", print)
    assert [group["count"] for group in groups["data"]] == [3]
    letters = await admin.told("list", "--each", "--fingerprint", print)
    assert ids(letters) == [job["id"] for job in jobs]
    status, table, _ = await admin.run("list", "--fingerprint", print)
    assert (status, print in table, "debug.fail" in table) == (0, True, True)
    latest = rfc3339(parse_rfc3339(jobs[0]["finished_at"]) + 1)  # what is replayed here dies again
    chosen = ("--fingerprint", print, "--failed-before", latest)
    dry = await admin.told("replay", *chosen, "--dry-run")
    assert dry["counts"] == {"would_replay": 3}
    one = await admin.told("replay", jobs[0]["id"])
    done = await admin.told("replay", *chosen, "--rate", "1000")
    assert done["counts"]["replayed"] == 2
    assert one["data"][0]["replay"] in {each["replay"] for each in done["data"]}


async def test_a_terminal_is_told_what_was_wrong(admin: DeadLetters) -> None:
    assert (await admin.run("replay"))[0] == 2
    assert (await admin.run("replay", "--all", "--handler", "x"))[0] == 2
    status, _, err = await admin.run("list", "--fingerprint", "nonsense")
    assert (status, "/fingerprint" in err) == (1, True)
    status, _, err = await admin.run("list", key="sk_none_0000000000000000")
    assert (status, "API key" in err) == (1, True)
    status, _, err = await admin.run("replay", f"job_{'0' * 40}")
    assert status == 1
