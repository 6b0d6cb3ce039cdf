"""The commands of `sluice-admin`. Each reads its settings from the environment and says what it did.

Exit status: 0 done, 1 failed (a dependency did not do its part), 78 not usable as configured.
"""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from typing import Any

import click

from deploy.admin.declaration import declaration
from deploy.admin.key_commands import keys
from deploy.admin.queues import paused, queues_of
from deploy.admin.settings import Settings
from deploy.admin.topology import apply, pulled, without_backoff
from shared.config import load
from shared.errors import ConfigError, SluiceError
from shared.messaging.push import PushPlan, push_plan
from shared.messaging.topics import Names, Topology, topology

EXIT_FAILED, EXIT_CONFIG = 1, 78


@click.group()
@click.pass_context
def cli(context: click.Context) -> None:
    """What an operator does to a running Sluice. Settings come from the environment, as for the services."""
    context.obj = load(Settings, os.environ)


@cli.group("topology")
def topology_group() -> None:
    """Topics and subscriptions."""


_PULL = click.option("--pull", is_flag=True, help="Push nothing any more; without it, what is pushed stays so.")


@topology_group.command("apply")
@_PULL
@click.pass_obj
def topology_apply(settings: Settings, *, pull: bool) -> None:
    """Create what is missing and mend what differs. Deletes nothing; harmless twice."""
    wanted = _wanted(settings, pull=pull)
    changes = _run(apply(wanted, project=settings.project, emulator=settings.pubsub_emulator or None))
    for change in changes:
        click.echo(change)
    click.echo(f"{len(wanted.topics)} topics and {len(wanted.subscriptions)} subscriptions are as declared")


@topology_group.command("diff")
@_PULL
@click.pass_obj
def topology_diff(settings: Settings, *, pull: bool) -> None:
    """Show what `apply` would change."""
    wanted = _wanted(settings, pull=pull)
    changes = _run(apply(wanted, project=settings.project, emulator=settings.pubsub_emulator or None, dry_run=True))
    for change in changes:
        click.echo(change)
    sys.exit(EXIT_FAILED if changes else 0)


@topology_group.command("show")
@click.pass_obj
def topology_show(settings: Settings) -> None:
    """Print what must exist, as the JSON that Terraform reads. Asks nobody."""
    click.echo(json.dumps(declaration(Names(settings.prefix), _queues(settings)), indent=2))


def _queues(settings: Settings) -> set[str]:
    return set(settings.queues) or queues_of(settings.handlers)


def _wanted(settings: Settings, *, pull: bool) -> Topology:
    queues = _queues(settings)
    names, plan = Names(settings.prefix), None if pull else _plan(settings)
    declared = topology(names, queues, push=plan, paused=_run(paused(settings)) if plan else ())
    declared = pulled(declared) if pull else declared
    return without_backoff(declared) if settings.pubsub_emulator else declared


def _plan(settings: Settings) -> PushPlan | None:
    return push_plan(
        address=settings.push_endpoint,
        service_account=settings.push_email,
        audience=settings.push_audience,
        queues=settings.push_queues,
    )


cli.add_command(keys)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def main() -> None:
    """The entry point: failures are one line each, and an exit status."""
    try:
        cli()
    except ConfigError as fault:
        click.echo(f"not usable as configured: {fault}", err=True)
        sys.exit(EXIT_CONFIG)
    except SluiceError as fault:
        click.echo(f"{type(fault).__name__}: {fault}", err=True)
        sys.exit(EXIT_FAILED)
