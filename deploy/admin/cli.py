"""The commands of `sluice-admin`. Each reads its settings from the environment and says what it did.

Exit status: 0 done, 1 failed (a dependency did not do its part), 78 not usable as configured.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from typing import Any

import click

from deploy.admin.dead_letter_commands import dead_letters
from deploy.admin.declaration import declaration
from deploy.admin.doctor_command import doctor
from deploy.admin.job_commands import jobs
from deploy.admin.key_commands import keys
from deploy.admin.output import output as output_option
from deploy.admin.queue_commands import queues
from deploy.admin.queues import paused, queues_of
from deploy.admin.settings import Settings
from deploy.admin.topology import Change, apply, pulled, without_backoff
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
@output_option
@click.pass_obj
def topology_apply(settings: Settings, /, *, pull: bool, output: str) -> None:
    """Create what is missing and mend what differs. Deletes nothing; harmless twice."""
    wanted = _wanted(settings, pull=pull)
    changes = _run(apply(wanted, project=settings.project, emulator=settings.pubsub_emulator or None))
    _print(changes, output)
    if output == "table":
        click.echo(f"{len(wanted.topics)} topics and {len(wanted.subscriptions)} subscriptions are as declared")


@topology_group.command("diff")
@_PULL
@output_option
@click.pass_obj
def topology_diff(settings: Settings, /, *, pull: bool, output: str) -> None:
    """Show what `apply` would change. Exit status 1 where that is anything."""
    wanted = _wanted(settings, pull=pull)
    changes = _run(apply(wanted, project=settings.project, emulator=settings.pubsub_emulator or None, dry_run=True))
    _print(changes, output)
    sys.exit(EXIT_FAILED if changes else 0)


def _print(changes: Sequence[Change], output: str) -> None:
    """A line a change; as JSON, what kind of change it is and its members."""
    if output == "json":
        click.echo(json.dumps([{"change": type(each).__name__.lower(), **asdict(each)} for each in changes], indent=2))
        return
    for change in changes:
        click.echo(change)


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


for command in (dead_letters, doctor, jobs, keys, queues):
    cli.add_command(command)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def main() -> None:
    """The entry point: failures are one line each, and an exit status."""
    logging.getLogger().addHandler(logging.NullHandler())  # what matters is said by the commands
    try:
        cli(prog_name="sluice-admin")
    except ConfigError as fault:
        click.echo(f"not usable as configured: {fault}", err=True)
        sys.exit(EXIT_CONFIG)
    except SluiceError as fault:
        click.echo(f"{type(fault).__name__}: {fault}", err=True)
        sys.exit(EXIT_FAILED)
