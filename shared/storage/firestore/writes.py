"""The kinds of write, each added to a BatchWriteRequest or CommitRequest under its precondition.

Those that write a document return its fields, for a codec to fill inside `with ENCODING`.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Final

from shared.errors import DocumentRefused
from shared.storage.contract import Version
from shared.storage.firestore.protobuf import Message
from shared.storage.firestore.values import set_version


def create(request: Message, name: str) -> Message:
    """Write the document if there is none."""
    write = request.writes.add()
    write.current_document.exists = False
    write.update.name = name
    return write.update.fields


def update(request: Message, name: str, held: Version, mask: Iterable[str]) -> Message:
    """Replace the fields that `mask` names, and delete those of them that are not set, if nobody wrote since `held`."""
    write = request.writes.add()
    set_version(write.current_document.update_time, held)
    write.update_mask.field_paths.extend(mask)
    write.update.name = name
    return write.update.fields


def replace(request: Message, name: str, held: Version) -> Message:
    """Write the whole document if nobody wrote since `held`: what is not set is gone."""
    write = request.writes.add()
    set_version(write.current_document.update_time, held)
    write.update.name = name
    return write.update.fields


def create_or_replace(request: Message, name: str, held: Version | None) -> Message:
    """Write the whole document if nobody wrote since `held`; None: if there is none."""
    return create(request, name) if held is None else replace(request, name, held)


def set_replaces(fields: Message, held: Version | None) -> None:
    """Keep the version that was replaced, so that every write changes something: only then is there a later version."""
    if held is not None:
        fields["replaces"].integer_value = held.updated_at


def put(request: Message, name: str) -> Message:
    """Write the whole document, whatever is there."""
    write = request.writes.add()
    write.update.name = name
    return write.update.fields


def delete(request: Message, name: str, held: Version) -> None:
    """Delete the document if nobody wrote since `held`."""
    write = request.writes.add()
    set_version(write.current_document.update_time, held)
    write.delete = name


def remove(request: Message, name: str) -> None:
    """Delete the document, whatever is there."""
    request.writes.add().delete = name


class _Encoding:
    """Turns protobuf's word on an impossible value (a lone surrogate, a number beyond 64 bits) into DocumentRefused."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ValueError):
            raise DocumentRefused("the document holds a value that Firestore cannot") from None


ENCODING: Final = _Encoding()
