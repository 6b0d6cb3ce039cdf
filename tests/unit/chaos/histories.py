"""Runs made up by hand, for the checker's own tests: sound ones, to be spoilt in one place each."""

from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from shared.models.job import Job, JobSpec, JobStatus
from shared.models.public import Snapshot, snapshot
from tests.chaos.damage import Damage
from tests.chaos.effects import Effect, What
from tests.chaos.evidence import Evidence, Told
from tests.chaos.history import Act, Call, History, Ok, Outcome
from tests.chaos.work import Piece

WORKER, RIVAL, RUNNER = 100, 200, 101
BORN = 1_750_000_000_000


@dataclass
class Story:
    """Evidence that grows line by line. Times are seconds from the beginning."""

    history: History = field(default_factory=History)
    effects: list[Effect] = field(default_factory=list)
    damage: Damage = field(default_factory=Damage)
    asked: dict[str, Piece] = field(default_factory=dict)
    documents: dict[str, Job] = field(default_factory=dict)
    cached: dict[str, Snapshot] = field(default_factory=dict)
    events: dict[str, list[Told]] = field(default_factory=dict)

    def evidence(self) -> Evidence:
        return Evidence(self.history, self.effects, self.damage, self.asked, self.documents, self.cached, self.events)

    def submit(self, work: str, outcome: Outcome, *, client: int = 1, keyed: bool = False) -> Call:
        self.asked.setdefault(work, Piece(work, keyed=keyed))
        call = Call(client, Act.SUBMIT, work, 0.0, keyed=keyed, outcome=outcome, ended_at=0.1)
        self.history.calls.append(call)
        return call

    def read(self, job: str, outcome: Outcome, *, client: int = 1, known: int = 0) -> Call:
        call = Call(client, Act.READ, "", 5.0, job=job, known=known, outcome=outcome, ended_at=5.1)
        self.history.calls.append(call)
        return call

    def cancel(self, job: str, outcome: Outcome) -> Call:
        call = Call(1, Act.CANCEL, "", 3.0, job=job, outcome=outcome, ended_at=3.1)
        self.history.calls.append(call)
        return call

    def ran(self, id: str, work: str, **fields: Any) -> Effect:
        """A start, and unless `what` says otherwise its return a second later."""
        what = fields.pop("what", What.RETURN)
        start = Effect(
            **{
                "what": What.START,
                "at": 1.0,
                "work": work,
                "job": id,
                "attempt": 1,
                "fence": "f1",
                "run": "r1",
                "runner": RUNNER,
                "worker": WORKER,
                **fields,
            }
        )
        self.effects.append(start)
        if what is not What.START:
            self.effects.append(replace(start, what=what, at=start.at + 1))
        return start

    def ended(self, job: Job) -> None:
        """The store has it, Redis has it, and an event told of it."""
        id = job.spec.id
        self.documents[id] = job
        self.cached[id] = snapshot(job)
        self.events[id] = [Told(f"job.{job.status}", job.status, job.attempt, job.finished_at)]


def accepted(id: str, *, keyed: bool = False) -> Ok:
    return Ok(202, id, 0x1100, "queued", b"", keyed)


def shown(job: Job) -> Ok:
    """A read of the finished job."""
    told = snapshot(job)
    return Ok(200, job.spec.id, told.order, str(job.status), told.body)


def queued(id: str, work: str) -> Job:
    spec = JobSpec(
        id=id,
        tenant="acme",
        handler="chaos.work",
        queue="chaos",
        input=orjson.dumps({"work": work}),
        created_at=BORN,
        expires_at=BORN + 86_400_000,
        timeout_seconds=60.0,
        max_attempts=5,
    )
    return Job.queued(spec)


def running(id: str, work: str, *, fence: str = "f1", attempt: int = 1) -> Job:
    return queued(id, work).claimed(attempt=attempt, fence=fence, worker="worker-1", lease_seconds=4, at=BORN + 1_000)


def succeeded(id: str, work: str, *, fence: str = "f1", run: str = "r1", at: int = BORN + 2_000) -> Job:
    job = running(id, work, fence=fence)
    return replace(job, fence=fence).succeeded(orjson.dumps({"work": work, "run": run}), at=at)


def tombstone(id: str, *, at: int = BORN + 3_000) -> Job:
    """Canceled by somebody who knew nothing but the id."""
    spec = JobSpec.unknown(id, tenant="acme", created_at=BORN, expires_at=BORN + 86_400_000)
    return Job.queued(spec).canceled(at=at)


def canceled_on_request(story: Story) -> None:
    """One more job, canceled before a worker met it."""
    story.submit("w2", accepted("j2"))
    story.asked["w2"] = Piece("w2", canceled=True)
    story.cancel("j2", shown(tombstone("j2")))
    story.ended(tombstone("j2").completed(queued("j2", "w2").spec))


def sound() -> Story:
    """One job that was asked for, ran once, succeeded, and was read."""
    story, job = Story(), succeeded("j1", "w1")
    story.submit("w1", accepted("j1"))
    story.ran("j1", "w1")
    story.ended(job)
    story.read("j1", shown(job), known=0x1100)
    assert job.status is JobStatus.SUCCEEDED
    return story
