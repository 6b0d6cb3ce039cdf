"""`/problems/{slug}`: what a type of problem means, for whoever follows the `type` of one.

Made once of the declarations in `problems`, and of the description: it knows which operations can answer it.
"""

import re
from collections.abc import Iterator, Mapping
from html import escape
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web

from services.gateway.http.paging import check_query
from services.gateway.http.problems import TYPES, ProblemType, not_found
from services.gateway.http.static import Static
from services.gateway.openapi.parts import Tree, operations
from services.gateway.pages import HTML, SECURITY

_HEADERS: Final = {**SECURITY, "Cache-Control": "public, max-age=3600"}
_CODE: Final = re.compile(r"`([^`]*)`")
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Sluice</title>
<link rel="icon" href="/docs/sluice.svg" type="image/svg+xml">
<link rel="stylesheet" href="/docs/pages.css">
</head>
<body>
<header><img src="/docs/sluice.svg" alt=""><a href="/docs">Sluice API</a></header>
<main>
<span class="status">{status}</span>
<h1>{title}</h1>
<p>{explanation}</p>
<h2>What it looks like</h2>
<pre><code>{example}</code></pre>
<h2>Who answers it</h2>
{answered}
</main>
<footer><p>All types: {others}</p></footer>
</body>
</html>
"""


class ProblemPages:
    """document: the description, as `parts.load` has it."""

    def __init__(self, document: Tree) -> None:
        self._pages = {slug: Static(_page(each, document).encode(), HTML, _HEADERS) for slug, each in TYPES.items()}

    async def get(self, request: web.Request) -> web.StreamResponse:
        """The endpoint."""
        check_query(request, ())
        page = self._pages.get(request.match_info["slug"])
        if page is None:
            raise not_found()
        return await page.answer(request)


def _page(problem: ProblemType, document: Tree) -> str:
    return _PAGE.format(
        title=escape(problem.title),
        status=escape(f"{problem.status} {HTTPStatus(problem.status).phrase}"),
        explanation=_CODE.sub(r"<code>\1</code>", escape(problem.explanation)),
        example=escape(_example(problem)),
        answered=_answered(problem, document),
        others=" · ".join(_other(slug, problem) for slug in sorted(TYPES)),
    )


def _example(problem: ProblemType) -> str:
    shown: dict[str, Any] = {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": "What happened this time.",
        "instance": "req_5f2c8d1ab3e94f0071",
    }
    if "`errors`" in problem.explanation:
        shown["errors"] = [{"pointer": "/where", "detail": "what is wrong there"}]
    return orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()


def _answered(problem: ProblemType, document: Tree) -> str:
    answering = list(answerers(problem.slug, document))
    every = [each for item in document["paths"].values() for each in operations(item).values()]
    if not answering:
        return "<p>Whatever is asked of an address in a way that it does not take.</p>"
    if len(answering) == len(every):
        return "<p>Every operation can.</p>"
    if len(answering) == sum(bool(each["security"]) for each in every):
        return "<p>Every operation that takes a key can.</p>"
    return f"<ul>{''.join(answering)}</ul>"


def answerers(slug: str, document: Tree) -> Iterator[str]:
    """A list entry for each operation that can answer with that type."""
    for path, item in document["paths"].items():
        for method, operation in operations(item).items():
            if any(slug in slugs(response, document) for response in operation["responses"].values()):
                link = f"/docs#/{operation['tags'][0]}/{operation['operationId']}"
                called = f"<code>{method.upper()} {escape(path)}</code>"
                yield f'<li><a href="{link}">{called}</a> <small>{escape(operation["summary"])}</small></li>'


def slugs(response: Mapping[str, Any], document: Tree) -> list[str]:
    """The types of problems that a response of an operation can have."""
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    found: list[str] = response.get("x-problems", [])
    return found


def _other(slug: str, problem: ProblemType) -> str:
    return f"<b>{slug}</b>" if slug == problem.slug else f'<a href="/problems/{slug}">{slug}</a>'
