"""What is left of batches when a run is over: their documents, those of their items, and what everybody was told.

The stores are asked directly, past the proxies and the gateways; what the API shows of it is asked beside that. Judged
by `rules/batching`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared.ids import IdKeys, Ids
from shared.models.batch import Batch
from shared.models.event import Event
from shared.models.job import Job, JobStatus
from shared.storage.firestore import FirestoreBatches, FirestoreDatabase
from tests.chaos.arena import KEY, Arena
from tests.chaos.batch_client import BatchClient
from tests.chaos.batches import Wanted
from tests.chaos.evidence import PATIENT, stored

ENDS: Final = tuple(status for status in JobStatus if status.terminal)


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one batch.

    ids: under which it was accepted, or is listed; there must be one. items: by index, of those that have a document.
    shown: what the API answers. listed: by status, the indexes that the API lists. outputs: the lines of its stream.
    ends: each telling of its end, in the order heard.
    """

    wanted: Wanted
    ids: frozenset[str]
    batch: Batch | None
    items: Mapping[int, Job]
    reduction: Job | None
    shown: Mapping[str, Any]
    listed: Mapping[str, Sequence[int]]
    outputs: Sequence[Mapping[str, Any]]
    ends: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Looking:
    """Asks for all of that, of the batches of one arena."""

    place: Arena
    client: BatchClient

    async def batches(self, ids: Sequence[str]) -> dict[str, Batch]:
        """Their documents, of those that have one."""
        address = self.place.backends.firestore.address
        async with FirestoreDatabase(self.place.project, address, limits=PATIENT) as database:
            store = FirestoreBatches(database)
            found = {id: await store.read(id) for id in ids}
        return {id: each.value for id, each in found.items() if each is not None}

    async def items(self, id: str, count: int) -> dict[int, Job]:
        """By index, the documents of the first `count` items of a batch."""
        ids = list(self._item_ids(id, count))
        found = await self._jobs(ids)
        return {index: found[each] for index, each in enumerate(ids) if each in found}

    async def reduction(self, id: str) -> Job | None:
        """The document of the job that reduces a batch."""
        job = self._ids.reduction(KEY.tenant, id).text
        return (await self._jobs([job])).get(job)

    async def seen(self, wanted: Wanted, ids: frozenset[str]) -> Seen:
        """All that there is to be seen of it."""
        id = min(ids, default="")
        batch = (await self.batches([id])).get(id) if id else None
        if batch is None:
            return Seen(wanted, ids, None, {}, None, {}, {}, (), ())
        path = f"/v1/batches/{id}"
        lists = {end: await self.client.listed(f"{path}/jobs", status=end) for end in ENDS}
        lines = (await self.client.read(f"{path}/outputs", partial="true")).splitlines()
        return Seen(
            wanted,
            ids,
            batch,
            await self.items(id, len(wanted.tasks)),
            await self.reduction(id),
            orjson.loads(await self.client.read(path)),
            {end: [item["index"] for item in items] for end, items in lists.items()},
            [orjson.loads(line) for line in lines],
            list(self.place.tap.ends.get(id, ())),
        )

    @property
    def _ids(self) -> Ids:
        return Ids(IdKeys.parse(self.place.system.environ()["SLUICE_ID_KEYS"]))

    def _item_ids(self, id: str, count: int) -> Iterator[str]:
        id_of = self._ids.items(KEY.tenant, id)
        return map(id_of, range(count))

    async def _jobs(self, ids: Sequence[str]) -> dict[str, Job]:
        return await stored(self.place.project, self.place.backends.firestore.address, ids)
