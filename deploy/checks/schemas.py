"""JSON Schemas beside this module, and what a document has against one."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

FOLDER: Final = Path(__file__).with_name("schemas")


@cache
def schema(name: str) -> dict[str, Any]:
    """`<name>.json`."""
    read: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return read


def fault(document: Any, against: dict[str, Any]) -> str | None:
    """The first thing that does not fit, with its place; None where all does."""
    error = best_match(Draft202012Validator(against).iter_errors(document))
    return None if error is None else f"{error.json_path}: {error.message[:200]}"
