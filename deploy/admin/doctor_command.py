"""`sluice-admin doctor`."""

import sys
from collections.abc import Sequence
from typing import Final

import click

from deploy.admin import backends
from deploy.admin.doctor.finding import Finding, State
from deploy.admin.doctor.round import EXAMINATIONS, examine
from deploy.admin.output import output as output_option
from deploy.admin.output import print_rows, progress, ticked
from deploy.admin.settings import Settings
from shared.clock import SystemClock

EXIT_FAILED: Final = 1
_COLUMNS: Final = ("state", "about", "detail", "remedy")
_RANK: Final = {State.FAULT: 0, State.WARNING: 1, State.SKIPPED: 2, State.OK: 3}


@click.command("doctor")
@output_option
@click.pass_obj
def doctor(settings: Settings, output: str) -> None:
    """Look at everything that must be right, and say what is wrong and what to do. Changes nothing.

    Exit status 1 where there is a fault; warnings do not count.
    """
    findings = backends.run(_round(settings))
    worst_first = sorted(findings, key=lambda finding: _RANK[finding.state])
    print_rows([finding.shown for finding in worst_first], _COLUMNS, output)
    if any(finding.state is State.FAULT for finding in findings):
        sys.exit(EXIT_FAILED)


async def _round(settings: Settings) -> Sequence[Finding]:
    findings: list[Finding] = []
    with progress() as shown:
        for name in ticked(shown, "looking", EXAMINATIONS):
            findings += await examine(name, settings, SystemClock(), findings)
    return findings
