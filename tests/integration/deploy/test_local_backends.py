"""The real emulators and Redis: started, asked, killed, frozen, restarted, shared, and gone in the end."""

import asyncio
import json
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from deploy.local.backends import Backend, Backends, Given
from deploy.local.container import docker_works
from deploy.local.errors import MissingError
from deploy.local.find import EMULATOR_IMAGE, REDIS_IMAGE, Tools
from deploy.local.ports import choose_port
from tests.integration.deploy.local_processes import ROOT, all_gone, python

NAMES = ("pubsub", "firestore", "redis")


@pytest.fixture(scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backends]:
    """Backends that these tests may kill."""
    async with Backends(tmp_path_factory.mktemp("backends")) as backends:
        yield backends


def by_name(backends: Backends, name: str) -> Backend:
    backend: Backend = getattr(backends, name)
    return backend


async def test_every_backend_answers_where_its_variable_says(own: Backends) -> None:
    environ = own.environ()

    assert set(environ) == {"PUBSUB_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST", "REDIS_URL"}
    assert all([await backend.answers() for backend in own.all])


@pytest.mark.parametrize("name", NAMES)
async def test_a_killed_backend_comes_back_on_its_port_and_empty(own: Backends, name: str) -> None:
    backend = by_name(own, name)
    assert backend.process
    address, pid = backend.address, backend.process.pid

    await backend.process.kill()
    assert not await backend.answers()
    await backend.process.restart()

    assert await backend.answers()
    assert backend.address == address
    assert backend.process.pid != pid


@pytest.mark.parametrize("name", NAMES)
async def test_a_frozen_backend_answers_when_it_is_thawed(own: Backends, name: str) -> None:
    backend = by_name(own, name)
    assert backend.process

    await backend.process.freeze()
    try:
        assert not await backend.answers()
    finally:
        await backend.process.thaw()

    assert await backend.answers()


async def test_what_is_given_is_used_and_never_stopped(own: Backends, tmp_path: Path) -> None:
    async with Backends(tmp_path, own.given(redis_database=7)) as shared:
        assert shared.processes == []
        assert shared.pubsub.address == own.pubsub.address
        assert shared.redis.address == own.redis.address.removesuffix("/0") + "/7"

    assert all([await backend.answers() for backend in own.all])


async def test_systems_that_share_a_redis_do_not_see_each_other(own: Backends) -> None:
    async with Redis.from_url(own.given(200).redis) as mine, Redis.from_url(own.given(201).redis) as yours:
        await mine.set("key", "mine", ex=60)

        assert await yours.get("key") is None


async def test_one_backend_may_be_started_beside_two_given_ones(own: Backends, tmp_path: Path) -> None:
    given = Given(pubsub=own.pubsub.address, firestore=own.firestore.address)

    async with Backends(tmp_path, given) as mixed:
        assert [process.name for process in mixed.processes] == ["redis"]
        assert mixed.redis.address != own.redis.address
        assert await mixed.redis.answers()


async def test_a_given_backend_that_does_not_answer_is_named_with_its_variable(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{choose_port()}"
    given = Given(pubsub=nowhere, firestore=nowhere, redis=f"redis://{nowhere}/0")

    with pytest.raises(MissingError, match=f"does not answer at .*{nowhere}.*, which [A-Z_]+ names"):
        async with Backends(tmp_path, given):
            pass


async def test_leaving_ends_every_process(own: Backends, tmp_path: Path) -> None:
    async with Backends(tmp_path, Given(firestore=own.firestore.address)) as backends:
        pids = [process.pid for process in backends.processes]

    assert len(pids) == 2
    await all_gone(pids, within=1)


HOLDER = textwrap.dedent("""
    import asyncio, json, sys
    from pathlib import Path
    from deploy.local.backends import Backends, Given

    async def main():
        async with Backends(Path(sys.argv[1]), Given(firestore=sys.argv[2])) as backends:
            print(json.dumps([process.pid for process in backends.processes]), flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
""")


async def test_no_backend_outlives_its_killed_owner(own: Backends, tmp_path: Path) -> None:
    command = python("-c", HOLDER, str(tmp_path), own.firestore.address)
    owner = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout
    pids = json.loads(await owner.stdout.readline())

    owner.kill()
    await owner.wait()

    assert len(pids) == 2
    await all_gone(pids, within=5)


async def images_are_here() -> bool:
    """Whether the images are, so that no test downloads a gigabyte."""
    if not await docker_works():
        return False
    inspect = await asyncio.create_subprocess_exec(
        "docker", "image", "inspect", EMULATOR_IMAGE, REDIS_IMAGE, stdout=asyncio.subprocess.DEVNULL
    )
    return await inspect.wait() == 0


async def test_containers_serve_where_nothing_is_installed(tmp_path: Path) -> None:
    if not await images_are_here():
        pytest.skip("needs Docker and the images")
    bare = Tools(lambda _: None, "", lambda: None, docker_works)

    async with Backends(tmp_path, tools=bare) as backends:
        names = [process.command.argv[process.command.argv.index("--name") + 1] for process in backends.processes]
        redis = next(process for process in backends.processes if process.name == "redis")
        await redis.kill()
        assert not await backends.redis.answers()
        await redis.restart()
        await redis.freeze()
        assert not await backends.redis.answers()
        await redis.thaw()
        assert all([await backend.answers() for backend in backends.all])

    listing = await asyncio.create_subprocess_exec(
        "docker", "ps", "--all", "--format", "{{.Names}}", stdout=asyncio.subprocess.PIPE
    )
    left, _ = await listing.communicate()
    assert not set(names) & set(left.decode().split())
