"""Whether whoever is woken by an alert finds what to do: each has its entry in docs/operations.md, nothing else has."""

import re
from collections.abc import Iterator
from typing import Any, Final

from deploy.checks.monitoring import rules
from deploy.checks.report import ROOT, Outcome, found

DOCUMENT: Final = ROOT / "docs/operations.md"
PARTS: Final = ("**Means**", "**Look at**", "**Do**")
_ENTRY: Final = re.compile(r"^### (\w+)\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
_FOR: Final = re.compile(r"\d+m")
SEVERITIES: Final = {"page", "ticket"}


def alerts_have_an_entry() -> Outcome:
    alerts = list(rules())
    entries = dict(_ENTRY.findall(DOCUMENT.read_text() + "\n##"))
    faults = [f"{rule['alert']}: {fault}" for rule in alerts for fault in _faults(rule, entries)]
    faults += [f"{name} has an entry and is no alert" for name in sorted(entries.keys() - {r["alert"] for r in alerts})]
    return found(f"{len(alerts)} alerts", *faults)


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
