"""Catalogue and Keys, on every store: written whole, read whole."""

from dataclasses import replace

from shared.models.key import SCOPES, ApiKey
from tests.contract.storage.samples import AT, new_entry
from tests.contract.storage.storage_subject import Subject

KEY = ApiKey(
    id="k1",
    tenant="acme",
    secret_sha256=bytes(range(32)),
    scopes=SCOPES,
    requests_per_second=10,
    burst=20,
    expires_at=AT,
    revoked_at=AT + 1,
)


async def test_an_empty_catalogue(subject: Subject) -> None:
    assert list(await subject.catalogue.entries()) == []
    await subject.catalogue.announce([])


async def test_entries_are_read_by_name(subject: Subject) -> None:
    entries = [new_entry(name) for name in ("text.stats", "image.thumbnail", "a")]
    entries.append(replace(new_entry("sum"), queue="", reduces=True))
    await subject.catalogue.announce(entries)
    assert list(await subject.catalogue.entries()) == sorted(entries, key=lambda entry: entry.name)


async def test_announcing_again_replaces_the_entry(subject: Subject) -> None:
    await subject.catalogue.announce([new_entry("a", "1"), new_entry("b", "1")])
    await subject.catalogue.announce([replace(new_entry("a", "2"), description="")])
    assert list(await subject.catalogue.entries()) == [
        replace(new_entry("a", "2"), description=""),
        new_entry("b", "1"),
    ]


async def test_a_key_that_nobody_wrote_is_none(subject: Subject) -> None:
    assert await subject.keys.find("k0") is None


async def test_a_key_is_read_as_it_was_written(subject: Subject) -> None:
    await subject.keys.put(KEY)
    assert await subject.keys.find(KEY.id) == KEY


async def test_a_key_is_replaced_whole(subject: Subject) -> None:
    await subject.keys.put(KEY)
    bare = ApiKey(KEY.id, "acme", b"\0", frozenset())
    await subject.keys.put(bare)
    assert await subject.keys.find(KEY.id) == bare
