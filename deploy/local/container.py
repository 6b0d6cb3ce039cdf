"""A backend in a Docker container, handled like any other child process.

The child is the `docker run` client. Signals to it stop short of the container (the daemon owns that), so killing,
freezing and thawing go through the daemon. Used by `backends` where no emulator is installed.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from deploy.local.errors import LocalError
from deploy.local.guard import Guard
from deploy.local.process import ChildProcess, Command, Exit, Probe
from shared.child import Child

_DOCKER_SECONDS: Final = 60.0
PULL_SECONDS: Final = 900.0  # the first start downloads the image; the emulators' is about 1 GB


def docker_run(name: str, image: str, host_port: int, container_port: int, program: Sequence[str]) -> tuple[str, ...]:
    """The command that runs `program` in a new container, reachable from this machine only."""
    published = f"127.0.0.1:{host_port}:{container_port}"
    return ("docker", "run", "--rm", "--init", "--name", name, "--publish", published, image, *program)


class Container(ChildProcess):
    """As ChildProcess; `container` is the name given to `docker run`."""

    def __init__(self, command: Command, guard: Guard, ready: Probe, container: str) -> None:
        super().__init__(command, guard, ready, PULL_SECONDS)
        self._guard = guard
        self._container = container

    async def spawn(self) -> None:
        """As ChildProcess.spawn."""
        self._guard.watch_container(self._container)
        await super().spawn()

    async def freeze(self) -> None:
        """Pause the container."""
        await _docker("pause", self._container)

    async def thaw(self) -> None:
        """Let a paused container go on."""
        await _docker("unpause", self._container)

    async def _until_exit(self, process: Child) -> Exit:
        how = await super()._until_exit(process)
        await _docker("rm", "--force", self._container, check=False)
        self._guard.release_container(self._container)
        return how

    async def _send_kill(self) -> None:
        # Also when the daemon knows no such container yet: the client is killed, so it will ask for none.
        await _docker("rm", "--force", self._container, check=False)
        await super()._send_kill()


async def docker_works() -> bool:
    """Whether a Docker daemon answers."""
    try:
        await _docker("version", "--format", "{{.Server.Version}}")
    except (LocalError, OSError):
        return False
    return True


async def _docker(*arguments: str, check: bool = True) -> None:
    process = await asyncio.create_subprocess_exec(
        "docker", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_DOCKER_SECONDS):
            _, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise LocalError(f"docker {arguments[0]} did not return within {_DOCKER_SECONDS:.0f} s") from None
    if check and process.returncode:
        raise LocalError(f"docker {arguments[0]} failed: {said.decode(errors='replace').strip()}")
