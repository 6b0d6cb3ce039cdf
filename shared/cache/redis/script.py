"""Lua that the server keeps and runs in one step, called by the hash of its source.

Nothing loads a script ahead: the first call finds it unknown and travels again with the source (see `batch`). So does
the first after the server has restarted, failed over or flushed its scripts, and an unknown script is never an error.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Script:
    """source: the Lua. sha: by which Redis knows it."""

    source: bytes
    sha: str

    @classmethod
    def beside(cls, module: str, name: str) -> Self:
        """The script in the file `name`, next to the file of the module (`__file__`) that uses it."""
        source = Path(module).with_name(name).read_bytes()
        return cls(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())
