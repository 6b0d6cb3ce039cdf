"""Values that are made for every request and message: dataclasses that nobody changes.

    @value(frozen=True, slots=True)
    class Snapshot: ...

To the type checker this is `dataclass`. At run time nothing hinders an assignment, for that is what makes a frozen
dataclass three times as slow to create as another one (it sets each field through `object.__setattr__`).
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:

    def value(*, frozen: Literal[True], slots: Literal[True]) -> Callable[[type[T]], type[T]]:
        """As `dataclass`, frozen for the type checker alone. Equal values have equal hashes, as frozen ones do."""
        return dataclasses.dataclass(slots=slots, unsafe_hash=frozen)


__all__ = ["value"]
