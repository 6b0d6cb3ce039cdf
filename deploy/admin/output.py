"""How `sluice-admin` prints: a table for people, JSON for programs, and progress beside it, on the other stream."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

WIDTH = 200
"""Where the output is not a terminal, such as a pipe: an id stays on one line."""

output: Callable[[F], F] = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)


def console() -> Console:
    found = Console(highlight=False, markup=True)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH)


def cell(value: Any) -> str:
    """One value for a table."""
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return escape(" ".join(f"{name}={inner}" for name, inner in value.items()))
    return escape(" ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], output: str) -> None:
    """As a table of these columns, or whole as JSON."""
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(*(column.removesuffix("_at").replace("_", " ") for column in columns), box=None, header_style="bold")
    for row in rows:
        table.add_row(*(cell(row[column]) for column in columns))
    console().print(table)


def print_one(found: Mapping[str, Any], output: str) -> None:
    """One thing, a line a member, or as JSON."""
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    table = Table(show_header=False, box=None)
    for name, value in found.items():
        table.add_row(f"[bold]{name}", cell(value))
    console().print(table)


def progress() -> Progress:
    """Of long work, on standard error; nothing is drawn where that is no terminal. A context manager."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not Console(stderr=True).is_terminal,
    )


def ticked(progress: Progress, what: str, items: Iterable[T]) -> Iterable[T]:
    """`items`, each counted when the next is asked for."""
    return progress.track(list(items), description=what)
