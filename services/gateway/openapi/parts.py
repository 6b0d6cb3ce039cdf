"""The document as it is kept by hand: every YAML file of this folder is a part of one tree. Read once, at start.

No two parts may say the same thing. What an operation shares with all others of its kind (`x-common-responses`) is
filled in here, and its scope said in words, so that the document as served says all by itself.
"""

from pathlib import Path
from typing import Any

import yaml

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
COMMON = "x-common-responses"
ANY = "any"
"""`x-scope` of what every good key may do."""

Tree = dict[str, Any]


def load() -> Tree:
    """The whole document. ValueError where two parts say the same thing."""
    document: Tree = {}
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        part = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
        _merge(document, part, path.stem)
    common = document.pop(COMMON)
    for item in document["paths"].values():
        for operation in operations(item).values():
            _fill(operation, common)
    return document


def operations(item: Tree) -> Tree:
    """The operations of a path, by method."""
    return {method: item[method] for method in METHODS if method in item}


def _merge(into: Tree, part: Tree, place: str) -> None:
    for name, value in part.items():
        if name not in into:
            into[name] = value
        elif isinstance(value, dict) and isinstance(into[name], dict):
            _merge(into[name], value, f"{place}/{name}")
        else:
            raise ValueError(f"two parts of the description say {place}/{name}")


def _fill(operation: Tree, common: Tree) -> None:
    kinds = ["open"]
    if operation["security"]:
        kinds = ["keyed"] if operation["x-scope"] == ANY else ["keyed", "scoped"]
        wanted = "any good key" if operation["x-scope"] == ANY else f"`{operation['x-scope']}`"
        operation["description"] = f"{operation.get('description', '')}\n\nScope: {wanted}.".lstrip()
    shared = {status: response for kind in kinds for status, response in common[kind].items()}
    operation["responses"] = dict(sorted({**shared, **operation["responses"]}.items()))
