"""`sluice-admin dead-letters …`: see what was given up on, and have it run again, through the API.

A replay goes on request by request until nothing is left, or until it is interrupted: what was replayed by then is, and
the same command goes on where it broke off.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.admin.api import Api
from deploy.admin.settings import Settings

PAGE: Final = 100
MAX_LISTED: Final = 10_000
WIDE: Final = 200
_GROUPS: Final = ("fingerprint", "count", "handler", "code", "last_failed_at", "message")
_LETTERS: Final = ("job", "tenant", "handler", "failed_at", "attempts", "fingerprint", "message")

_output = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """The options by which dead letters are chosen."""
    options = (
        click.option("--tenant", help="Only this tenant's; another than your own takes the scope system."),
        click.option("--handler", help="Only this handler's."),
        click.option("--fingerprint", help="Only what died of this, as the groups show it."),
        click.option("--failed-after", help="Only what failed after this time (RFC 3339)."),
        click.option("--failed-before", help="Only what failed before this time (RFC 3339)."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters() -> None:
    """Jobs that were given up on. Needs SLUICE_URL, and SLUICE_API_KEY with the scope operator."""


@dead_letters.command("list")
@_filters
@click.option("--each", is_flag=True, help="Every dead letter, not one line a cause.")
@click.option("--limit", type=click.IntRange(1, MAX_LISTED), default=PAGE, show_default=True, help="With --each.")
@_output
@click.pass_obj
def list_letters(settings: Settings, /, each: bool, limit: int, output: str, **filters: str | None) -> None:
    """What dead letters died of, the most frequent cause first; with --each the letters, the latest first."""
    query = {name: value for name, value in filters.items() if value is not None}
    if each:
        letters = asyncio.run(_letters(settings, query, limit))
        _print(letters, _LETTERS, output, _letter_row)
        return
    found = asyncio.run(_groups(settings, query))
    _print(found["data"], _GROUPS, output, lambda group: group, whole=found)
    if not found["complete"] and output == "table":
        click.echo(f"Only of the latest {found['looked_at']:,}: there are more. Narrow the time.", err=True)


@dead_letters.command("replay")
@click.argument("id", required=False)
@_filters
@click.option("--all", "everything", is_flag=True, help="Every dead letter that you may see.")
@click.option("--dry-run", is_flag=True, help="Only tell what would become of each.")
@click.option("--rate", type=click.IntRange(1, 1_000), default=50, show_default=True, help="New jobs a second.")
@_output
@click.pass_obj
def replay(
    settings: Settings,
    /,
    id: str | None,
    everything: bool,
    dry_run: bool,
    rate: int,
    output: str,
    **filters: str | None,
) -> None:
    """Run dead letter ID again, or all that the options choose: a new job each, once however often it is asked for."""
    filter = {name: value for name, value in filters.items() if value is not None}
    if [bool(id), bool(filter), everything].count(True) != 1:
        raise click.UsageError("name one ID, or choose by options, or say --all")
    body = {"id": id} if id else {"filter": filter}
    results = asyncio.run(_replay(settings, {**body, "dry_run": dry_run, "rate_per_second": rate}, filter))
    counts = Counter(result["outcome"] for result in results)
    if output == "json":
        click.echo(json.dumps({"dry_run": dry_run, "counts": counts, "data": results}, indent=2))
    else:
        _tell(results, counts)
    if counts["refused"] or counts["in_progress"]:
        raise click.exceptions.Exit(1)


async def _groups(settings: Settings, query: Mapping[str, str]) -> Any:
    async with Api(settings) as api:
        return await api.get("/v1/dead-letters/groups", query)


async def _letters(settings: Settings, query: Mapping[str, str], limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with Api(settings) as api:
        cursor: str | None = ""
        while cursor is not None and len(found) < limit:
            asked = {**query, "limit": str(min(PAGE, limit - len(found))), **({"cursor": cursor} if cursor else {})}
            page = await api.get("/v1/dead-letters", asked)
            found += page["data"]
            cursor = page["next"]
    return found


async def _replay(settings: Settings, body: Mapping[str, Any], filter: Mapping[str, str]) -> list[dict[str, Any]]:
    """What became of each, with a bar on a terminal."""
    results: list[dict[str, Any]] = []
    async with Api(settings) as api:
        total = None if "id" in body else await _total(api, filter)
        with _bar() as progress:
            task = progress.add_task("dry run" if body["dry_run"] else "replaying", total=total)
            async for part in _parts(api, body):
                results += part
                progress.update(task, completed=len(results), total=max(total or 0, len(results)))
    return results


async def _parts(api: Api, body: Mapping[str, Any]) -> AsyncIterator[list[dict[str, Any]]]:
    """What became of each, answer by answer. The cursor only goes down a list that no longer grows below it."""
    cursor: str | None = None
    while True:
        answer = await api.post("/v1/dead-letters/replay", {**body, **({"cursor": cursor} if cursor else {})})
        yield answer["data"]
        cursor = answer["next"]
        if cursor is None:
            return


async def _total(api: Api, filter: Mapping[str, str]) -> int | None:
    """How many there are, if that is known."""
    found = await api.get("/v1/dead-letters/groups", filter)
    return int(found["looked_at"]) if found["complete"] else None


def _bar() -> Progress:
    """On the error stream, so that what is printed can be piped; nothing where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _tell(results: list[dict[str, Any]], counts: Mapping[str, int]) -> None:
    said = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in sorted(counts.items()))
    click.echo(said or "nothing to replay")
    refused = [result for result in results if result["problem"]]
    if refused:
        _print(refused, ("id", "handler", "problem", "detail"), "table", lambda result: result)


def _letter_row(letter: Mapping[str, Any]) -> dict[str, Any]:
    job = letter["job"]
    error = job["error"]
    return {
        **letter,
        "job": job["id"],
        "handler": job["handler"],
        "attempts": len(error["attempts"]),
        "message": error["message"],
    }


def _print(
    found: list[dict[str, Any]],
    columns: tuple[str, ...],
    output: str,
    row: Callable[[dict[str, Any]], Mapping[str, Any]],
    *,
    whole: Any = None,
) -> None:
    """whole: printed as JSON in place of `found`."""
    if output == "json":
        click.echo(json.dumps(found if whole is None else whole, indent=2))
        return
    table = Table(*(column.removesuffix("_at") for column in columns), box=None, header_style="bold")
    for each in found:
        cells = row(each)
        table.add_row(*(escape(str(cells[column])) for column in columns))
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=WIDE)).print(table)
