"""How single writes travel together, on a scripted server."""

import asyncio
from dataclasses import replace

from shared.storage.firestore import FirestoreJobs, FirestoreTimers, Limits
from tests.contract.storage.connecting import HELD, MEGABYTE, connected, names, start, update_with_timer
from tests.contract.storage.samples import new_spec, running
from tests.contract.storage.scripted_firestore import ScriptedFirestore

ABORTED = 10


async def test_writes_of_one_moment_take_few_requests(scripted: ScriptedFirestore) -> None:
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        results = await asyncio.gather(*(jobs.create(running()) for _ in range(1_200)))
    assert len(set(results)) == 1_200
    assert [len(request.writes) for request in scripted.requests] == [500, 500, 200]


async def test_writes_made_while_requests_are_under_way_leave_together(scripted: ScriptedFirestore) -> None:
    async with connected(scripted, Limits(deadline_seconds=20, writes_in_flight=2)) as database:
        jobs = FirestoreJobs(database)
        scripted.hold()
        first = start([jobs.create(running())])
        await scripted.arrived(1)
        second = start([jobs.create(running())])
        await scripted.arrived(2)
        rest = start([jobs.create(running()) for _ in range(50)])
        scripted.release()
        await asyncio.gather(*first, *second, *rest)
    assert [len(request.writes) for request in scripted.requests] == [1, 1, 50]
    assert scripted.most_under_way == 2


async def test_a_request_stays_below_three_megabytes(scripted: ScriptedFirestore) -> None:
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        await asyncio.gather(*(jobs.create(running(new_spec(input=b"x" * 700_000))) for _ in range(9)))
    assert sum(len(request.writes) for request in scripted.requests) == 9
    assert all(request.ByteSize() <= 3 * MEGABYTE for request in scripted.requests)
    assert len(scripted.requests) == 3


async def test_writes_of_one_document_keep_their_order_and_never_share_a_request(scripted: ScriptedFirestore) -> None:
    job = running()
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        rivals = [jobs.update(replace(job, lost=lost), HELD) for lost in range(1, 21)]
        others = [jobs.create(running()) for _ in range(5)]
        await asyncio.gather(*rivals, *others)
    assert [write.update.fields["lost"].integer_value for write in scripted.writes_of(job.spec.id)] == list(
        range(1, 21)
    )
    assert all(len(set(names(request))) == len(request.writes) for request in scripted.requests)


async def test_a_retried_write_stays_before_the_next_of_its_document(scripted: ScriptedFirestore) -> None:
    job = running()
    scripted.statuses[job.spec.id] = [ABORTED, ABORTED, 0, 0]
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        await asyncio.gather(jobs.update(replace(job, lost=1), HELD), jobs.update(replace(job, lost=2), HELD))
    assert [write.update.fields["lost"].integer_value for write in scripted.writes_of(job.spec.id)] == [1, 1, 1, 2]


async def test_each_request_says_where_it_goes(scripted: ScriptedFirestore) -> None:
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        await jobs.create(running())
        await update_with_timer(jobs, running())
        await jobs.read("job_1")
        await FirestoreTimers(database).next_due(1)
    assert len(scripted.metadata) == 4
    for metadata in scripted.metadata:
        assert metadata["google-cloud-resource-prefix"] == "projects/scripted/databases/(default)"
        assert metadata["x-goog-request-params"] == "database=projects/scripted/databases/%28default%29"
        assert metadata["authorization"] == "Bearer owner"
