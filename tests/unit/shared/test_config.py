"""Settings: read once, every fault at once, secrets never shown."""

from dataclasses import dataclass

import pytest

from shared.config import Secret, describe, load, setting
from shared.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Sample:
    count: int = setting(3, unit="jobs", why="how many")
    ratio: float = setting(0.5, why="share")
    on: bool = setting(False, why="whether")
    names: tuple[str, ...] = setting((), why="which")
    key: Secret = setting(why="signs")
    host: str = setting("here", env="OTHER_NAME", why="where")


def test_variables_are_read_by_type() -> None:
    environ = {
        "SLUICE_COUNT": "7",
        "SLUICE_RATIO": "0.25",
        "SLUICE_ON": "yes",
        "SLUICE_NAMES": "a, b,,c",
        "SLUICE_KEY": "shh",
        "OTHER_NAME": "there",
    }
    sample = load(Sample, environ)
    assert (sample.count, sample.ratio, sample.on, sample.names, sample.host) == (
        7,
        0.25,
        True,
        ("a", "b", "c"),
        "there",
    )
    assert sample.key.reveal() == "shh"


def test_defaults_hold_where_nothing_is_set() -> None:
    assert load(Sample, {"SLUICE_KEY": "k"}) == Sample(key=Secret("k"))


def test_every_fault_is_reported_at_once_and_no_value_is_shown() -> None:
    with pytest.raises(ConfigError) as refusal:
        load(Sample, {"SLUICE_COUNT": "sevenish", "SLUICE_ON": "perhaps"})
    text = str(refusal.value)
    assert all(name in text for name in ("SLUICE_COUNT", "SLUICE_ON", "SLUICE_KEY"))
    assert "sevenish" not in text


def test_a_secret_does_not_print() -> None:
    assert "shh" not in f"{Secret('shh')} {Secret('shh')!r} {load(Sample, {'SLUICE_KEY': 'shh'})}"


def test_every_setting_can_be_described() -> None:
    assert ("SLUICE_COUNT", "3", "jobs", "how many") in describe(Sample)
    assert ("SLUICE_KEY", "required", "", "signs") in describe(Sample)
