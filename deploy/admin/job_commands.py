"""`sluice-admin jobs …`: list, get, explain, cancel. Of any tenant, straight from the store."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import click

from deploy.admin import backends
from deploy.admin.jobs import JobAdmin, JobNotFound, JobOver
from deploy.admin.output import output as output_option
from deploy.admin.output import print_one, print_rows, progress, ticked
from deploy.admin.settings import Settings
from shared.cache.redis.snapshots import RedisSnapshots
from shared.clock import SystemClock, parse_rfc3339
from shared.ids import IdKeys, Ids
from shared.models.job import JobStatus, Retention
from shared.models.key import TENANT
from shared.storage.contract import JobFilter
from shared.storage.firestore import FirestoreDatabase, FirestoreJobLists, FirestoreJobs

T = TypeVar("T")

MAX_LISTED: Final = 10_000
EXIT_FAILED: Final = 1
_COLUMNS: Final = ("id", "handler", "status", "attempt", "created_at", "started_at", "finished_at", "error")
Outcomes = list[dict[str, Any]]
_OUTCOMES: Final = ("id", "status", "cancel_requested", "trouble")


def _tenant_of(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not TENANT.fullmatch(value):
        raise click.BadParameter("is not lower-case letters, digits and hyphens, at most 63")
    return value


def _label(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    name, equals, content = value.partition("=")
    if not name or not equals:
        raise click.BadParameter("is not key=value")
    return name, content


def _moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else parse_rfc3339(value)
    except ValueError:
        raise click.BadParameter("is not a time such as 2026-01-31T13:00:00Z") from None


_tenant = click.option(
    "--tenant", callback=_tenant_of, help="Whose job it is; only one that no worker has claimed needs it."
)


@click.group("jobs")
def jobs() -> None:
    """Jobs of any tenant, from the store."""


@jobs.command("list")
@click.argument("tenant", callback=_tenant_of)
@click.option("--status", type=click.Choice([str(status) for status in JobStatus if status is not JobStatus.QUEUED]))
@click.option("--handler", help="Only this handler's.")
@click.option("--label", callback=_label, help="key=value")
@click.option("--created-after", callback=_moment, help="A time in RFC 3339.")
@click.option("--created-before", callback=_moment, help="Likewise.")
@click.option("--limit", type=click.IntRange(1, MAX_LISTED), default=50, show_default=True)
@output_option
@click.pass_obj
def list_jobs(settings: Settings, /, output: str, limit: int, status: str | None, **wanted: Any) -> None:
    """List the newest jobs of TENANT that workers have claimed or that wait for their time."""
    filter = JobFilter(status=JobStatus(status) if status else None, **wanted)
    found = _run(settings, lambda admin: admin.newest(filter, limit))
    if output == "table":
        found = [{**job, "error": (job["error"] or {}).get("code")} for job in found]
    print_rows(found, _COLUMNS, output)


@jobs.command("get")
@click.argument("id")
@_tenant
@output_option
@click.pass_obj
def get(settings: Settings, id: str, tenant: str | None, output: str) -> None:
    """Show a job as the API shows it."""
    print_one(_run(settings, lambda admin: admin.get(id, tenant)), output)


@jobs.command("explain")
@click.argument("id")
@_tenant
@output_option
@click.pass_obj
def explain(settings: Settings, id: str, tenant: str | None, output: str) -> None:
    """Say why a job is where it is."""
    print_one(_run(settings, lambda admin: admin.explain(id, tenant)), output)


@jobs.command("cancel")
@click.argument("ids", nargs=-1, required=True)
@_tenant
@output_option
@click.pass_obj
def cancel(settings: Settings, ids: tuple[str, ...], tenant: str | None, output: str) -> None:
    """Cancel jobs; `-` reads their ids from standard input, one a line.

    What has not started is over at once; what runs is told within seconds. Harmless twice. Fails if any could not be.
    """
    wanted = _read(ids)

    async def each(admin: JobAdmin) -> Outcomes:
        with progress() as shown:
            return [await _canceled(admin, id, tenant) for id in ticked(shown, "canceling", wanted)]

    outcomes = _run(settings, each)
    print_rows(outcomes, _OUTCOMES, output)
    if any(outcome["trouble"] for outcome in outcomes):
        sys.exit(EXIT_FAILED)


def _read(ids: tuple[str, ...]) -> list[str]:
    if ids != ("-",):
        return list(ids)
    return [line.strip() for line in sys.stdin if line.strip()]


async def _canceled(admin: JobAdmin, id: str, tenant: str | None) -> dict[str, Any]:
    """What became of one of many: trouble with it does not keep the others."""
    try:
        job = await admin.cancel(id, tenant)
    except (JobNotFound, JobOver) as trouble:
        return {"id": id, "status": None, "cancel_requested": False, "trouble": str(trouble)}
    running = job["status"] == JobStatus.RUNNING
    return {"id": id, "status": job["status"], "cancel_requested": running, "trouble": None}


def _run(settings: Settings, act: Callable[[JobAdmin], Awaitable[T]]) -> T:
    async def run() -> T:
        async with backends.database(settings) as database, backends.cache(settings) as cache:
            return await act(_admin(settings, database, RedisSnapshots(cache)))

    return backends.run(run())


def _admin(settings: Settings, database: FirestoreDatabase, teller: RedisSnapshots) -> JobAdmin:
    keys = settings.id_keys.reveal()
    retention = Retention(settings.retention_succeeded_seconds, settings.retention_other_seconds)
    return JobAdmin(
        store=FirestoreJobs(database, retention),
        lists=FirestoreJobLists(database),
        teller=teller,
        ids=Ids(IdKeys.parse(keys)) if keys else None,
        clock=SystemClock(),
    )
