"""Whether whoever is woken by an alert finds what to do: each has its entry in docs/operations.md, nothing else has."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from deploy.checks.monitoring import rules
from deploy.checks.report import ROOT, Outcome, found

DOCUMENT: Final = ROOT / "docs/operations.md"
PARTS: Final = ("**Means**", "**Look at**", "**Do**")
_ENTRY: Final = re.compile(r"^### (\w+)\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
_FOR: Final = re.compile(r"\d+m")
_LINE: Final = re.compile("“([^”]+)”")
CODE: Final = ("services", "shared")
SEVERITIES: Final = {"page", "ticket"}


def alerts_have_an_entry() -> Outcome:
    alerts = list(rules())
    entries = dict(_ENTRY.findall(DOCUMENT.read_text() + "\n##"))
    faults = [f"{rule['alert']}: {fault}" for rule in alerts for fault in _faults(rule, entries)]
    faults += [f"{name} has an entry and is no alert" for name in sorted(entries.keys() - {r["alert"] for r in alerts})]
    faults += [f"nothing logs “{line}”" for line in _quoted(entries) if line not in _code()]
    return found(f"{len(alerts)} alerts", *faults)


def _quoted(entries: dict[str, str]) -> list[str]:
    """Lines of logs that somebody is told to look for."""
    return sorted({line for entry in entries.values() for line in _LINE.findall(" ".join(entry.split()))})


@cache
def _code() -> str:
    return "".join(path.read_text() for folder in CODE for path in sorted((ROOT / folder).rglob("*.py")))


def _faults(rule: dict[str, Any], entries: dict[str, str]) -> Iterator[str]:
    name = rule["alert"]
    if name not in entries:
        yield "has no entry in docs/operations.md"
        return
    for part in PARTS:
        if part not in entries[name]:
            yield f"its entry has no {part}"
    if rule["annotations"].get("runbook") != f"docs/operations.md#{name.lower()}":
        yield "its runbook is not its entry"
    if rule["labels"].get("severity") not in SEVERITIES:
        yield "is neither a page nor a ticket"
    if not _FOR.fullmatch(rule["for"]):
        yield "Terraform reads `for` in minutes"
    if not {"summary", "description"} <= rule["annotations"].keys():
        yield "has no summary and description"
