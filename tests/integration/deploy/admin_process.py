"""`sluice-admin` in processes of its own, against the real backends of the tests."""

import asyncio
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.integration.deploy.local_processes import ROOT, python

_SECONDS = 70.0  # more than the server gives a command
_STATUS_BYTES = 16


class Terminal:
    """A context manager, in which commands are run. Their server (see `admin_server`) is started by the first."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sluice-admin-")
        self._path = str(Path(self._folder.name, "s"))
        self._server: subprocess.Popen[bytes] | None = None
        self._starting = asyncio.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.communicate(timeout=_SECONDS)  # the end of its input is its end
        self._folder.cleanup()

    async def run(self, *arguments: str, environ: Mapping[str, str], stdin: str = "") -> tuple[int, str, str]:
        """Exit status, and what was printed on both streams. environ: added to ours."""
        async with self._starting:
            if self._server is None:
                self._server = await asyncio.to_thread(self._started)
        return await asyncio.to_thread(self._command, arguments, {**os.environ, **environ}, stdin)

    def _started(self) -> subprocess.Popen[bytes]:
        argv = python("-m", "tests.integration.deploy.admin_server", self._path)
        server = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdout.readline() == b"listening\n"
        return server

    def _command(self, arguments: tuple[str, ...], environ: Mapping[str, str], stdin: str) -> tuple[int, str, str]:
        request = json.dumps({"arguments": arguments, "environ": environ})
        with (
            tempfile.TemporaryFile("w+") as given,
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
            socket.socket(socket.AF_UNIX) as connection,
        ):
            given.write(stdin)
            given.seek(0)
            connection.settimeout(_SECONDS)
            connection.connect(self._path)
            socket.send_fds(connection, [request.encode() + b"\n"], [each.fileno() for each in (given, out, err)])
            status = connection.recv(_STATUS_BYTES)
            return int(status), _all(out), _all(err)


def _all(stream: IO[str]) -> str:
    stream.seek(0)
    return stream.read()


@dataclass(frozen=True, slots=True)
class Admin:
    """environ: added to ours."""

    terminal: Terminal
    environ: Mapping[str, str]

    async def run(self, *arguments: str, stdin: str = "", **environ: str) -> tuple[int, str, str]:
        """Exit status, and what it printed on both streams."""
        return await self.terminal.run(*arguments, environ={**self.environ, **environ}, stdin=stdin)

    async def told(self, *arguments: str, status: int = 0, **environ: str) -> Any:
        """What it printed as JSON."""
        found, out, err = await self.run(*arguments, "-o", "json", **environ)
        assert found == status, (found, out, err)
        return json.loads(out)
