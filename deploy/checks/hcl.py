"""Terraform's files as plain values. Read by the checks of Terraform; python-hcl2 does the parsing.

Strings come without their quotes, blocks without the parser's own marks. Expressions stay text: `${…}`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import hcl2

from deploy.checks.report import ROOT

FOLDER: Final = ROOT / "deploy/terraform"
MARKS: Final = frozenset({"__is_block__", "__comments__", "__inline_comments__", "__start_line__", "__end_line__"})


@dataclass(frozen=True, slots=True)
class Block:
    """A `resource` or `data` block. address: `type.name`, with `data.` before it where it is data."""

    address: str
    type: str
    body: dict[str, Any]

    @property
    def is_data(self) -> bool:
        return self.address.startswith("data.")


@cache
def files(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Each file's content by its name."""
    return {path.name: plain(hcl2.loads(path.read_text())) for path in sorted(folder.glob("*.tf"))}


def blocks(kind: str, folder: Path = FOLDER) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every top block of a kind, such as `variable`: its labels, and its body."""
    for content in files(folder).values():
        for each in content.get(kind, []):
            yield from _labelled(each, 2 if kind in {"resource", "data"} else 1)


def resources(folder: Path = FOLDER) -> list[Block]:
    """Every resource and every piece of data."""
    managed = [Block(".".join(labels), labels[0], body) for labels, body in blocks("resource", folder)]
    data = [Block(".".join(("data", *labels)), labels[0], body) for labels, body in blocks("data", folder)]
    return managed + data


def _labelled(each: dict[str, Any], depth: int) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if not depth:
        yield (), each
        return
    for label, inner in each.items():
        for labels, body in _labelled(inner, depth - 1):
            yield (label, *labels), body


def plain(value: Any) -> Any:
    """The same without quotes and marks."""
    if isinstance(value, dict):
        return {_bare(key): plain(inner) for key, inner in value.items() if key not in MARKS}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return _bare(value) if isinstance(value, str) else value


def _bare(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
