"""Keys from a terminal: what is made opens, what is revoked does not, and nobody's change is lost."""

import itertools

import pytest
from click.testing import CliRunner

from deploy.admin.cli import cli
from deploy.admin.keys import PAGE, KeyAdmin, KeyNotFound, KeyUnusable, parse_dev_keys
from shared.clock import ManualClock
from shared.errors import ConfigError
from shared.models.key import ApiKey, KeyToken
from shared.storage.memory import MemoryDatabase, MemoryKeys

WANTED = ApiKey("", "acme", b"", frozenset({"jobs:read"}), name="reports", burst=5)
USAGE = 2


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ring = MemoryKeys(MemoryDatabase(self.clock))
        drawn = itertools.count(1)
        self.admin = KeyAdmin(self.ring, self.clock, lambda count: next(drawn).to_bytes(count))

    async def opens(self, secret: str) -> bool:
        token = KeyToken.parse(secret)
        assert token
        key = await self.ring.find(token.id)
        return key is not None and key.opens(token.secret_sha256, self.clock.now())


async def test_a_key_that_was_made_opens() -> None:
    b = Bench()
    key, secret = await b.admin.create(WANTED)
    assert await b.opens(secret)
    assert (key.tenant, key.scopes, key.name, key.burst) == ("acme", WANTED.scopes, "reports", 5)
    assert key.created_at == b.clock.now()


async def test_a_rotated_key_opens_with_both_secrets_for_a_while() -> None:
    b = Bench()
    key, old = await b.admin.create(WANTED)
    _, new = await b.admin.rotate(key.id, overlap_seconds=60)
    assert [await b.opens(old), await b.opens(new)] == [True, True]
    await b.clock.advance(60)
    assert [await b.opens(old), await b.opens(new)] == [False, True]


async def test_a_revoked_key_opens_no_more_and_is_not_rotated() -> None:
    b = Bench()
    key, secret = await b.admin.create(WANTED)
    revoked = await b.admin.revoke(key.id)
    assert not await b.opens(secret)
    await b.clock.advance(60)
    assert await b.admin.revoke(key.id) == revoked
    with pytest.raises(KeyUnusable):
        await b.admin.rotate(key.id, overlap_seconds=60)


async def test_a_key_that_is_not_there() -> None:
    b = Bench()
    for act in (b.admin.revoke("k0"), b.admin.rotate("k0", overlap_seconds=0)):
        with pytest.raises(KeyNotFound):
            await act


async def test_all_keys_are_listed_however_many() -> None:
    b = Bench()
    for n in range(PAGE + 1):
        await b.ring.put(ApiKey(f"k{n:04}", "acme" if n % 2 else "globex", b"", frozenset()))
    assert [key.id for key in await b.admin.all(None)] == [f"k{n:04}" for n in range(PAGE + 1)]
    assert len(await b.admin.all("acme")) == PAGE // 2


@pytest.mark.parametrize("text", ["acme", "acme:sk_x", "Acme!:sk_x_y", "acme:sk_a_b,globex:"])
def test_a_malformed_development_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_dev_keys(text)
    assert "sk_a_b" not in str(refusal.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "Acme!", "--scope", "jobs:read"],
        ["create", "acme"],
        ["create", "acme", "--scope", "jobs:fly"],
        ["create", "acme", "--scope", "jobs:read", "--expires-in-days", "0"],
        ["create", "acme", "--scope", "jobs:read", "--name", "x" * 101],
        ["create", "acme", "--scope", "jobs:read", "--secret", "mine"],
        ["revoke", "no key/id"],
        ["rotate", "k0", "--overlap-seconds", "604801"],
        ["list", "-o", "xml"],
    ],
)
def test_what_makes_no_sense_is_refused_before_the_store_is_asked(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, ["keys", *arguments]).exit_code == USAGE
