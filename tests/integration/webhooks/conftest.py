"""A receiver a test, and a service on the session's backends."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.backends import Backends
from tests.integration.webhooks import bench as benches
from tests.integration.webhooks.bench import Bench
from tests.integration.webhooks.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def bench(backends: Backends, receiver: Receiver) -> AsyncIterator[Bench]:
    async with benches.bench(backends, receiver) as running:
        yield running
