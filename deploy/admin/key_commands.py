"""`sluice-admin keys …`: make, list, rotate, revoke API keys. Secrets are printed once, and never taken as a flag."""

import os
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import click

from deploy.admin import backends
from deploy.admin.keys import KeyAdmin, parse_dev_keys, seed
from deploy.admin.output import output as output_option
from deploy.admin.output import print_one, print_rows
from deploy.admin.settings import Settings
from shared.clock import MILLISECONDS, SystemClock
from shared.models.key import (
    KEY_ID,
    MAX_BURST,
    MAX_KEY_NAME,
    MAX_OVERLAP_SECONDS,
    MAX_REQUESTS_PER_SECOND,
    OVERLAP_SECONDS,
    SCOPES,
    TENANT,
    ApiKey,
    shown,
)
from shared.storage.firestore import FirestoreDatabase, FirestoreKeys

T = TypeVar("T")

DAY_SECONDS: Final = 86_400
MAX_DAYS: Final = 36_500
_COLUMNS: Final = ("id", "tenant", "name", "scopes", "created_at", "expires_at", "revoked_at")


@click.group("keys")
def keys() -> None:
    """API keys. Gateways follow changes within 30 seconds."""


@keys.command("seed")
@click.pass_obj
def keys_seed(settings: Settings) -> None:
    """Write the development keys of SLUICE_DEV_KEYS. For development: a key of a deployment is never in a variable."""
    found = parse_dev_keys(settings.dev_keys.reveal())

    async def write(database: FirestoreDatabase) -> None:
        await seed(found, FirestoreKeys(database))

    backends.run(_with_database(settings, write))
    click.echo(f"{len(found)} development keys are in place")


def _matching(pattern: Any, what: str) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def check(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        if value is not None and not pattern.fullmatch(value):
            raise click.BadParameter(f"is not {what}")
        return value

    return check


_tenant = _matching(TENANT, "lower-case letters, digits and hyphens, at most 63")
_id = click.argument("id", callback=_matching(KEY_ID, "a key's id"))


@keys.command("create")
@click.argument("tenant", callback=_tenant)
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(sorted(SCOPES)), help="Once for each."
)
@click.option("--name", default="", help="For people to tell keys apart.")
@click.option("--expires-in-days", type=click.IntRange(1, MAX_DAYS), help="Never, unless it is said.")
@click.option("--requests-per-second", type=click.IntRange(1, MAX_REQUESTS_PER_SECOND), help="A limit of its own.")
@click.option("--burst", type=click.IntRange(1, MAX_BURST), help="How many requests it may have saved up.")
@output_option
@click.pass_obj
def create(
    settings: Settings,
    tenant: str,
    scopes: tuple[str, ...],
    name: str,
    expires_in_days: int | None,
    requests_per_second: int | None,
    burst: int | None,
    output: str,
) -> None:
    """Make a key for TENANT. Its secret is printed once, and cannot be shown again."""
    if len(name) > MAX_KEY_NAME:
        raise click.BadParameter(f"is longer than {MAX_KEY_NAME} characters", param_hint="--name")
    lifetime = None if expires_in_days is None else expires_in_days * DAY_SECONDS * MILLISECONDS
    wanted = ApiKey(
        id="",
        tenant=tenant,
        secret_sha256=b"",
        scopes=frozenset(scopes),
        requests_per_second=requests_per_second,
        burst=burst,
        expires_at=None if lifetime is None else SystemClock().now() + lifetime,
        name=name,
    )
    key, secret = _run(settings, lambda admin: admin.create(wanted))
    _print_one(key, output, secret)


@keys.command("list")
@click.option("--tenant", callback=_tenant, help="Only this tenant's.")
@output_option
@click.pass_obj
def list_keys(settings: Settings, tenant: str | None, output: str) -> None:
    """List keys, revoked ones included, without secrets."""
    found = [_shown(key) for key in _run(settings, lambda admin: admin.all(tenant))]
    print_rows(found, _COLUMNS, output)


@keys.command("revoke")
@_id
@output_option
@click.pass_obj
def revoke(settings: Settings, id: str, output: str) -> None:
    """Make a key good for nothing, within 30 seconds. It stays in lists. Harmless twice."""
    _print_one(_run(settings, lambda admin: admin.revoke(id)), output)


@keys.command("rotate")
@_id
@click.option(
    "--overlap-seconds",
    type=click.IntRange(0, MAX_OVERLAP_SECONDS),
    default=OVERLAP_SECONDS,
    show_default=True,
    help="For how long the old secret stays good; 0 ends it now.",
)
@output_option
@click.pass_obj
def rotate(settings: Settings, id: str, overlap_seconds: int, output: str) -> None:
    """Give a key a new secret, which is printed once. The old one stays good for a while."""
    key, secret = _run(settings, lambda admin: admin.rotate(id, overlap_seconds=overlap_seconds))
    _print_one(key, output, secret)


def _run(settings: Settings, act: Callable[[KeyAdmin], Awaitable[T]]) -> T:
    async def run(database: FirestoreDatabase) -> T:
        return await act(KeyAdmin(FirestoreKeys(database), SystemClock(), os.urandom))

    return backends.run(_with_database(settings, run))


async def _with_database(settings: Settings, act: Callable[[FirestoreDatabase], Awaitable[T]]) -> T:
    async with backends.database(settings) as database:
        return await act(database)


def _print_one(key: ApiKey, output: str, secret: str | None = None) -> None:
    found = _shown(key, secret)
    if output == "json":
        print_one(found, output)
        return
    print_one({name: value for name, value in found.items() if name != "secret"}, output)
    if secret is not None:
        click.echo(f"\nThe secret, for the only time:\n{secret}")


def _shown(key: ApiKey, secret: str | None = None) -> dict[str, Any]:
    return shown(key, now=SystemClock().now(), secret=secret)
