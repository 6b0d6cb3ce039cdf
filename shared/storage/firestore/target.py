"""Which Firestore is meant, and the names of documents in it."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

MAX_ID_BYTES: Final = 1_500


@dataclass(frozen=True, slots=True)
class Target:
    project: str
    database: str = "(default)"
    emulator_host: str | None = None
    """`host:port` of an emulator; None for the real service."""

    @property
    def root(self) -> str:
        return f"projects/{self.project}/databases/{self.database}"

    @property
    def documents(self) -> str:
        return f"{self.root}/documents"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What each call carries: where to route it and, for the emulator, its constant credentials."""
        found = (("google-cloud-resource-prefix", self.root), ("x-goog-request-params", f"database={quote(self.root)}"))
        return (*found, ("authorization", "Bearer owner")) if self.emulator_host else found


@dataclass(frozen=True, slots=True)
class Collection:
    """Names the documents of one collection."""

    prefix: str
    """Up to and including the last slash."""

    def name(self, id: str) -> str:
        """The full name of document `id`. ValueError where Firestore would not take it as one."""
        if "/" in id or id in {"", ".", ".."} or id.startswith("__") or len(id.encode()) > MAX_ID_BYTES:
            raise ValueError("not the id of a document")
        return self.prefix + id

    def id(self, name: str) -> str:
        """The id in a full name of this collection."""
        return name[len(self.prefix) :]
