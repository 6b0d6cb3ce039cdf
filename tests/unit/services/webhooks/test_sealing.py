"""Secrets at rest: what is sealed opens in its place, under a key of the ring, and nowhere else."""

import pytest

from shared.errors import ConfigError
from shared.sealing import NotSealedHere, Sealer

ONE, BOTH, TWO = (f"1:{'aa' * 32}", f"1:{'aa' * 32},2:{'bb' * 32}", f"2:{'bb' * 32}")


def test_what_was_sealed_opens() -> None:
    sealed = Sealer.parse(ONE).seal(b"secret", "here")
    assert b"secret" not in sealed
    assert Sealer.parse(ONE).open(sealed, "here") == b"secret"
    assert Sealer.parse(ONE).seal(b"secret", "here") != sealed


def test_a_ring_is_rotated() -> None:
    old, new = Sealer.parse(ONE).seal(b"old", "here"), Sealer.parse(BOTH).seal(b"new", "here")
    assert [Sealer.parse(BOTH).open(each, "here") for each in (old, new)] == [b"old", b"new"]
    assert Sealer.parse(TWO).open(new, "here") == b"new"
    with pytest.raises(NotSealedHere):
        Sealer.parse(TWO).open(old, "here")


def test_another_place_a_changed_bit_or_nothing_at_all() -> None:
    sealer = Sealer.parse(ONE)
    sealed = sealer.seal(b"secret", "here")
    with pytest.raises(NotSealedHere):
        sealer.open(sealed, "there")
    for place in range(len(sealed)):
        with pytest.raises(NotSealedHere):
            sealer.open(sealed[:place] + bytes((sealed[place] ^ 1,)) + sealed[place + 1 :], "here")
    for short in (b"", sealed[:5], sealed[:20]):
        with pytest.raises(NotSealedHere):
            sealer.open(short, "here")


@pytest.mark.parametrize("text", ["", "x", "1:zz", "1:aa", f"300:{'aa' * 32}", f"1:{'aa' * 33}"])
def test_what_is_no_ring(text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Sealer.parse(text)
    assert "aa" not in str(refusal.value)
