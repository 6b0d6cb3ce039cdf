"""Ids: what they prove, and that nothing but the issuer can make one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigError
from shared.ids import LIFETIME_UNIT_MS, MAX_LIFETIME_MS, IdKeys, Ids

KEYS = IdKeys({1: b"k" * 32})
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
NOW = 1_750_000_000_000


def issue(tenant: str = "acme", lifetime_ms: int = 86_400_000) -> str:
    return Ids(KEYS).issue("job", tenant, created_at=NOW, lifetime_ms=lifetime_ms).text


def test_an_id_says_when_it_was_made_and_until_when_its_job_may_live() -> None:
    issued = Ids(KEYS).verify("job", "acme", issue(lifetime_ms=LIFETIME_UNIT_MS + 1))
    assert issued is not None
    assert issued.created_at == NOW
    assert issued.expires_at == NOW + 2 * LIFETIME_UNIT_MS  # rounded up to whole units


@given(tenant=st.text(min_size=1, max_size=20), lifetime=st.integers(1, MAX_LIFETIME_MS), made=st.integers(0, 2**47))
def test_what_is_issued_verifies(tenant: str, lifetime: int, made: int) -> None:
    issued = Ids(KEYS).issue("bat", tenant, created_at=made, lifetime_ms=lifetime)
    assert Ids(KEYS).verify("bat", tenant, issued.text) == issued
    assert issued.expires_at >= made + lifetime


@given(place=st.integers(0, 39), letter=st.sampled_from(ALPHABET))
def test_any_changed_character_is_refused(place: int, letter: str) -> None:
    good = issue()
    text = good[4:]
    changed = text[:place] + letter + text[place + 1 :]
    verified = Ids(KEYS).verify("job", "acme", f"job_{changed}")
    assert (verified is not None) == (changed == text)


@pytest.mark.parametrize(
    "mangle",
    [
        lambda text: text.upper(),
        lambda text: text + "0",
        lambda text: text[:-1],
        lambda text: "bat" + text[3:],
        lambda text: text.replace("job_", "job-"),
        lambda text: text + "\n",
        lambda text: "",
        lambda text: "job_" + "٣" * 40,  # digits, but not ours
    ],
)
def test_other_spellings_are_refused(mangle) -> None:  # type: ignore[no-untyped-def]
    assert Ids(KEYS).verify("job", "acme", mangle(issue())) is None


def test_an_id_of_another_tenant_or_kind_is_refused() -> None:
    assert Ids(KEYS).verify("job", "other", issue("acme")) is None
    assert Ids(KEYS).verify("bat", "acme", issue("acme")) is None


def test_a_key_outlives_its_ids() -> None:
    old = issue()
    rotated = Ids(IdKeys({1: b"k" * 32, 2: b"n" * 32}))
    assert rotated.verify("job", "acme", old) is not None
    new = rotated.issue("job", "acme", created_at=NOW, lifetime_ms=1).text
    assert rotated.verify("job", "acme", new) is not None
    assert Ids(KEYS).verify("job", "acme", new) is None


def test_a_derived_id_is_always_the_same_and_verifies_with_its_origin() -> None:
    ids = Ids(KEYS)
    origin = ids.issue("bat", "acme", created_at=NOW, lifetime_ms=1).text
    first, again, other = (ids.derive("job", "acme", origin, name) for name in ("7", "7", "8"))
    assert first == again != other
    assert ids.verify("job", "acme", first.text) == first
    assert first.created_at == NOW


def test_ids_spread_over_the_key_space() -> None:
    assert len({issue()[4:6] for _ in range(200)}) > 100


@pytest.mark.parametrize("text", ["", "1", "1:zz", "256:" + "ab" * 32, "1:" + "ab" * 31, "x:" + "ab" * 32])
def test_unusable_keys_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        IdKeys.parse(text)
    assert "ab" * 31 not in str(refusal.value)


@pytest.mark.parametrize("lifetime", [0, -1, MAX_LIFETIME_MS + 1])
def test_a_lifetime_that_does_not_fit_is_refused(lifetime: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        issue(lifetime_ms=lifetime)


@given(index=st.integers(0, 2**40), tenant=st.text(min_size=1, max_size=20))
def test_items_ids_are_those_of_one_at_a_time_and_say_what_their_batch_says(index: int, tenant: str) -> None:
    ids = Ids(KEYS)
    batch = ids.issue("bat", tenant, created_at=NOW, lifetime_ms=LIFETIME_UNIT_MS)
    one = ids.item(tenant, batch.text, index)
    assert ids.items(tenant, batch.text)(index) == one.text
    assert ids.verify("job", tenant, one.text) == one
    assert (one.created_at, one.expires_at) == (batch.created_at, batch.expires_at)


def test_items_and_the_reduction_have_ids_of_their_own() -> None:
    ids = Ids(KEYS)
    batches = [ids.issue("bat", "acme", created_at=NOW, lifetime_ms=1).text for _ in range(2)]
    made = [ids.items("acme", batch)(index) for batch in batches for index in range(1_000)]
    made += [ids.reduction("acme", batch).text for batch in batches]
    assert len(set(made)) == len(made)
    assert ids.reduction("acme", batches[0]) == ids.reduction("acme", batches[0])


def test_an_item_of_another_tenants_batch_verifies_for_nobody() -> None:
    ids = Ids(KEYS)
    batch = ids.issue("bat", "acme", created_at=NOW, lifetime_ms=1).text
    assert ids.verify("job", "other", ids.item("acme", batch, 0).text) is None
