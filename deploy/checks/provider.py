"""Makes `deploy/terraform/provider.json`: what the provider takes, for the types that are in use, and nothing else.

The provider's schema is 100 MB. Its bindings for another language are a package that holds all of it; unpack that, and

    python -m deploy.checks.provider <folder>/package/.jsii

(the file inside of `_jsii/provider-google@….jsii.tgz` of the package `cdktf-cdktf-provider-google`). Run by a developer
when a new type of resource comes into use, never by `make check`.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from deploy.checks import hcl

MODULE: Final = "@cdktf/provider-google"
META: Final = frozenset({"connection", "count", "dependsOn", "forEach", "lifecycle", "provider", "provisioners"})
_DOCUMENTED: Final = re.compile(r"#(\w+) \w+#(\w+)\}")
_VERSION: Final = re.compile(r"hashicorp/google/([\d.]+)/")
MAX_DEPTH: Final = 8


def schema_of(types: dict[str, Any], type: str, *, data: bool) -> dict[str, Any]:
    """The arguments of one resource or piece of data."""
    name = ("data_" if data else "") + (type if data else type.removeprefix("google_"))
    module = _camel(name)
    return _arguments(types, f"{MODULE}.{module}.{module[0].upper()}{module[1:]}Config", MAX_DEPTH)


def _arguments(types: dict[str, Any], of: str, depth: int) -> dict[str, Any]:
    taken = {}
    for each in types[of].get("properties", []):
        if depth == MAX_DEPTH and each["name"] in META:
            continue
        inner = re.search(rf'"({re.escape(MODULE)}\.[^"]+)"', json.dumps(each["type"]))
        taken[_name(each)] = {
            "required": not each.get("optional", False),
            **({"inner": _arguments(types, inner[1], depth - 1)} if inner and depth else {}),
        }
    return dict(sorted(taken.items()))


def _name(each: dict[str, Any]) -> str:
    documented = _DOCUMENTED.search(each.get("docs", {}).get("remarks", ""))
    return documented[1] if documented else re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", each["name"]).lower()


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def main() -> None:
    assembly = json.loads(Path(sys.argv[1]).read_text())
    types = assembly["types"]
    used = sorted({(block.type, block.is_data) for block in hcl.resources()})
    version = _VERSION.search(json.dumps(types[f"{MODULE}.pubsubTopic.PubsubTopicConfig"]))
    assert version
    written = {
        "version": version[1],
        "resources": {type: schema_of(types, type, data=False) for type, data in used if not data},
        "data": {type: schema_of(types, type, data=True) for type, data in used if data},
    }
    (hcl.FOLDER / "provider.json").write_text(json.dumps(written, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
