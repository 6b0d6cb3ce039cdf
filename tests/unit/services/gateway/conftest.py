"""Two gateways on the same backends, in memory."""

import pytest

from tests.unit.services.gateway.backends import CACHED, PLAIN, Backends, Gateway, gateway


@pytest.fixture
async def backends() -> Backends:
    """Not the real ones of the other suites."""
    made = Backends()
    await made.announce(CACHED, PLAIN)
    return made


@pytest.fixture
async def one(backends: Backends) -> Gateway:
    return await gateway(backends)


@pytest.fixture
async def other(backends: Backends) -> Gateway:
    return await gateway(backends)
