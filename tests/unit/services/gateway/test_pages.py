"""The pages: everything from here, nothing inline, each problem explained; and the bytes behind them."""

import gzip
import re
from html.parser import HTMLParser
from typing import Any

import orjson
import pytest
from aiohttp import web

from services.gateway.catalogue.handlers import Handlers
from services.gateway.http.problems import TYPES, Problem
from services.gateway.http.static import Static
from services.gateway.openapi import parts
from services.gateway.openapi.served import Description
from services.gateway.pages.docs import Docs
from services.gateway.pages.problem_pages import ProblemPages
from shared.clock import ManualClock
from shared.models.handler import HandlerEntry
from shared.storage.memory import MemoryCatalogue, MemoryDatabase
from tests.unit.services.gateway.asking import request

DOCUMENT = parts.load()
DOCS = Docs()
PROBLEMS = ProblemPages(DOCUMENT)
LARGE = b"x" * 100_000


async def text(response: web.StreamResponse) -> str:
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    return response.body.decode()


class References(HTMLParser):
    """What a page refers to, and whether anything in it is inline."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self._in = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        for name, value in attrs:
            if name in {"src", "href"}:
                self.addresses.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(name)

    def handle_data(self, data: str) -> None:
        if self._in in {"script", "style"} and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in = ""


async def pages() -> dict[str, web.StreamResponse]:
    problems = {slug: await PROBLEMS.get(request(slug=slug)) for slug in TYPES}
    return {"docs": await DOCS.page(request()), **problems}


async def test_pages_are_of_this_host_alone_and_have_nothing_inline() -> None:
    for name, response in (await pages()).items():
        found = References(await text(response))
        assert found.inline == [], name
        assert all(re.match(r"/[^/]", address) for address in found.addresses), name
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy


async def test_whatever_a_page_refers_to_is_there() -> None:
    for name, response in (await pages()).items():
        for address in References(await text(response)).addresses:
            path, _, fragment = address.partition("#")
            if path.startswith("/docs/"):
                assert (await DOCS.asset(request(asset=path.removeprefix("/docs/")))).status == 200, (name, address)
            elif path.startswith("/problems/"):
                assert (await PROBLEMS.get(request(slug=path.removeprefix("/problems/")))).status == 200
            else:
                assert path in {"/docs", "/openapi.json"}, (name, address)
            if fragment:
                _, tag, operation = fragment.split("/")
                described = [each for item in DOCUMENT["paths"].values() for each in parts.operations(item).values()]
                assert (tag, operation) in {(each["tags"][0], each["operationId"]) for each in described}


@pytest.mark.parametrize("slug", TYPES)
async def test_a_problems_page_says_what_it_is(slug: str) -> None:
    page = await text(await PROBLEMS.get(request(slug=slug)))
    problem = TYPES[slug]
    for words in (problem.title, str(problem.status), f"/problems/{slug}"):
        assert words.replace("'", "&#x27;") in page
    assert "`" not in page


async def test_what_is_not_there_is_404() -> None:
    for endpoint, name in ((PROBLEMS.get, "slug"), (DOCS.asset, "asset")):
        for value in ("nothing", "../problems.py", ""):
            with pytest.raises(Problem) as refusal:
                await endpoint(request(slug=value) if name == "slug" else request(asset=value))
            assert refusal.value.type.status == 404


async def test_static_bytes_are_known_by_their_tag_whether_compressed_or_not() -> None:
    static = Static(LARGE, "text/plain", {})
    plain = await static.answer(request())
    packed = await static.answer(request(headers={"Accept-Encoding": "br, gzip;q=0.8"}))
    assert plain.headers["ETag"] != packed.headers["ETag"]
    for response in (plain, packed):
        for encoding in ("", "gzip"):
            headers = {"If-None-Match": f'"other", W/{response.headers["ETag"]}', "Accept-Encoding": encoding}
            assert (await static.answer(request(headers=headers))).status == 304
    assert (await static.answer(request(headers={"If-None-Match": '"other"'}))).status == 200
    assert (await static.answer(request(headers={"If-None-Match": "*"}))).status == 304


async def test_large_bytes_are_compressed_for_who_takes_that() -> None:
    static = Static(LARGE, "text/plain", {})
    for accepts in ("gzip", "deflate,gzip", "*", "gzip;q=1.0, identity"):
        response = await static.answer(request(headers={"Accept-Encoding": accepts}))
        assert response.headers["Content-Encoding"] == "gzip", accepts
        assert isinstance(response.body, bytes)
        assert gzip.decompress(response.body) == LARGE
    for refuses in ("", "br", "gzip;q=0", "gzip; q=0.0, br", "x-gzipped"):
        response = await static.answer(request(headers={"Accept-Encoding": refuses}))
        assert "Content-Encoding" not in response.headers, refuses
        assert response.body == LARGE
    small = await Static(b"x", "text/plain", {}).answer(request(headers={"Accept-Encoding": "gzip"}))
    assert small.body == b"x"


async def test_the_description_is_there_before_any_handler_is_and_follows_what_is_announced() -> None:
    clock = ManualClock()
    catalogue = MemoryCatalogue(MemoryDatabase(clock))
    handlers = Handlers(catalogue, clock)
    description = Description(DOCUMENT, handlers)

    async def served() -> tuple[Any, str]:
        response = await description.get(request())
        return orjson.loads(await text(response)), response.headers["ETag"]

    before, tag = await served()
    assert before == DOCUMENT
    assert (await served())[1] == tag
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}
    await catalogue.announce([HandlerEntry("a.b", "q", "1", schema, {}, 1.0, 1, 0, "Does.")])
    await handlers.entries()
    after, new_tag = await served()
    assert new_tag != tag
    examples = after["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert examples == {"a.b": {"summary": "a.b: Does.", "value": {"handler": "a.b", "input": {"n": 3}}}}
