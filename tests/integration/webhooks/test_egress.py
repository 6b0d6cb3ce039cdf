"""What is called and what is not, on real sockets: forbidden addresses, rebinding names, and servers that misbehave."""

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from services.webhooks.egress import NameUnknown, guarded_socket, session
from services.webhooks.posting import Blocked, Failed, Outcome, Poster, Succeeded
from shared.clock import SystemClock
from shared.egress import Rules
from shared.errors import DestinationNotAllowed
from shared.models.delivery import ErrorClass
from tests.integration.webhooks import unruly
from tests.integration.webhooks.receiver import Receiver, ok
from tests.integration.webhooks.unruly import playing
from tests.unit.services.webhooks.hostile import ADDRESSES

HOST = "one.localhost"
LOCAL = Rules(local=True)


@dataclass
class Names:
    """A resolver that gives the next of its answers each time, and the last one for ever."""

    answers: list[Sequence[str]]
    asked: int = 0
    delay: float = 0.0

    async def addresses(self, host: str) -> Sequence[str]:
        found = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        await asyncio.sleep(self.delay)
        if not found:
            raise NameUnknown("no such name")
        return found


@dataclass
class Out:
    poster: Poster
    names: Names
    sent: list[str] = field(default_factory=list)

    async def post(self, url: str, headers: dict[str, str] | None = None) -> Outcome:
        return await self.poster.post(URL(url), headers or {}, b'{"a":1}')


@asynccontextmanager
async def out(
    *answers: Sequence[str], rules: Rules = LOCAL, total: float = 3.0, delay: float = 0.0, **options: Any
) -> AsyncIterator[Out]:
    names = Names(list(answers) or [["127.0.0.1"]], delay=delay)
    limits = {"dns_seconds": 0.3, "connect_seconds": 0.5} | options
    async with session(rules, names, **limits) as client:
        yield Out(Poster(client, SystemClock(), total), names)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_nothing_is_sent_to_a_hostile_answer_of_a_resolver(address: str) -> None:
    async with out([address], rules=Rules()) as way:
        outcome = await way.post("https://hooks.example.com/")
    assert isinstance(outcome, Blocked)
    assert outcome.record.error is ErrorClass.DESTINATION_NOT_ALLOWED


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_one_hostile_address_among_good_ones_is_enough(place: int) -> None:
    addresses = ["93.184.216.34", "2606:4700::1111"]
    addresses.insert(place, "10.0.0.1")
    async with out(addresses, rules=Rules()) as way:
        assert isinstance(await way.post("https://hooks.example.com/"), Blocked)


async def test_a_name_that_moves_to_a_private_address_is_met_at_its_next_connection(receiver: Receiver) -> None:
    """Harmless when it was checked, hostile when it is dialled: there is no time between the two."""

    async def last(_request: web.Request) -> web.Response:
        answer = web.Response()
        answer.force_close()
        return answer

    receiver.answers["/"] = last
    async with out(["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1", "169.254.169.254"], ["127.0.0.1"]) as way:
        outcomes = [await way.post(receiver.url(host=HOST)) for _ in range(4)]
    assert [type(each) for each in outcomes] == [Succeeded, Blocked, Blocked, Succeeded]
    assert len(receiver.arrivals) == 2
    assert way.names.asked == 4


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1"])
async def test_an_address_that_no_resolver_was_asked_for_is_met_at_the_socket(host: str, receiver: Receiver) -> None:
    async with out(rules=Rules()) as way:
        outcome = await way.post(f"http://{host}:{receiver.port}/")
    assert isinstance(outcome, Blocked)
    assert receiver.arrivals == []
    assert way.names.asked == 0


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_socket_factory_refuses_every_hostile_address(address: str) -> None:
    with pytest.raises(DestinationNotAllowed):
        guarded_socket(Rules())((2, 1, 6, "", (address, 443)))


async def test_no_proxy_of_the_environment_no_cookies_no_redirects(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=200, headers={"Set-Cookie": "a=b; Path=/"})

    receiver.answers["/"] = answer
    async with out() as way:
        for _ in range(2):
            assert isinstance(await way.post(receiver.url(host=HOST)), Succeeded)
    assert len(receiver.arrivals) == 2
    assert all("cookie" not in each.headers and "accept-encoding" not in each.headers for each in receiver.arrivals)


@pytest.mark.parametrize("play", [unruly.drip_headers, unruly.drip_body, unruly.silence])
async def test_slowness_has_an_end(play: unruly.Play) -> None:
    began = time.monotonic()
    async with playing(play) as port, out(total=0.5) as way:
        outcome = await way.post(f"http://{HOST}:{port}/")
    assert isinstance(outcome, Failed)
    assert outcome.record.error is ErrorClass.TIMEOUT
    assert outcome.timed_out
    assert time.monotonic() - began < 3


async def test_a_slow_name_is_given_up_and_delays_no_other(receiver: Receiver) -> None:
    async with out(delay=30.0) as slow, out() as quick:
        began = time.monotonic()
        waiting = [asyncio.create_task(slow.post(f"http://n{n}.localhost/")) for n in range(50)]
        assert isinstance(await quick.post(receiver.url(host=HOST)), Succeeded)
        assert time.monotonic() - began < 0.3
        outcomes = await asyncio.gather(*waiting)
    assert {type(each) for each in outcomes} == {Failed}
    assert {each.record.error for each in outcomes} == {ErrorClass.DNS}


@pytest.mark.parametrize(
    ("play", "error"),
    [
        (unruly.huge_header, ErrorClass.RESPONSE),
        (unruly.nonsense, ErrorClass.RESPONSE),
        (unruly.reset, ErrorClass.CONNECTION),
    ],
)
async def test_what_is_no_answer_is_a_failure(play: unruly.Play, error: ErrorClass) -> None:
    async with playing(play) as port, out() as way:
        outcome = await way.post(f"http://{HOST}:{port}/")
    assert isinstance(outcome, Failed)
    assert outcome.record.error is error


@pytest.mark.parametrize("play", [unruly.endless_body, unruly.gzip_bomb, unruly.huge_header])
async def test_no_answer_fills_our_memory(play: unruly.Play) -> None:
    async with playing(play) as port, out() as way:
        tracemalloc.start()
        await way.post(f"http://{HOST}:{port}/")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize("play", [unruly.endless_body, unruly.gzip_bomb])
async def test_a_success_with_a_body_that_nobody_wants_is_one(play: unruly.Play) -> None:
    async with playing(play) as port, out() as way:
        assert isinstance(await way.post(f"http://{HOST}:{port}/"), Succeeded)


async def test_nobody_listens(receiver: Receiver) -> None:
    async with out() as way:
        outcome = await way.post(f"http://{HOST}:1/")
    assert isinstance(outcome, Failed)
    assert outcome.record.error is ErrorClass.CONNECT


async def test_a_server_that_speaks_no_tls(receiver: Receiver) -> None:
    async with out() as way:
        outcome = await way.post(f"https://{HOST}:{receiver.port}/")
    assert isinstance(outcome, Failed)
    assert outcome.record.error in {ErrorClass.TLS, ErrorClass.CONNECTION}


async def test_the_ways_back_from_a_name_without_addresses() -> None:
    async with out([]) as way:
        outcome = await way.post(f"http://{HOST}/")
    assert isinstance(outcome, Failed)
    assert outcome.record.error is ErrorClass.DNS


async def test_the_bytes_on_the_wire_are_those_that_were_given(receiver: Receiver) -> None:
    receiver.answers["/"] = ok
    body = '{"ü":"\\u2028 世"}\n '.encode()
    async with out() as way:
        await way.poster.post(URL(receiver.url(host=HOST)), {"X-A": "b"}, body)
    assert receiver.arrivals[0].body == body
    assert receiver.arrivals[0].headers["content-length"] == str(len(body))
