"""The dashboard as an ASGI application: two kinds of pages, their data, and streams that say when there is more.

It only reads, and answers only GET. Whoever asks from elsewhere than this machine needs the token, which the first
address carries and a cookie keeps; on this machine the address has to be one of this machine's names, so that a page
from elsewhere cannot reach it under a name of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from colt.errors import InputError
from colt.views.compare import overlay
from colt.views.dashboard.runs import Runs
from colt.views.report.page import SCRIPTS, data_json, own_file, page_data, plotly_js, render, safe

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data: blob:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
COOKIE = "colt-dashboard"
LOOK_S = 0.5
"""How often files are looked at while somebody watches."""
REST = 4.0
"""Content is not offered again before so many times as long have passed as it took to make."""
KEPT = {"Cache-Control": "private, max-age=3600"}
"""For Plotly's script, which is large and stays the same."""
STREAMS = 64
"""Pages that are kept up to date at a time; others are told to come again."""
MOST_COMPARED = 40
OWN = {"report.css": "text/css", "theme.js": "text/javascript", "tree.js": "text/javascript"}
OWN |= {
    "charts.js": "text/javascript",
    "ask.js": "text/javascript",
    "live.js": "text/javascript",
    "runs.js": "text/javascript",
}


def dashboard(
    runs: Runs,
    token: str | None = None,
    hosts: Sequence[str] = ("localhost", "127.0.0.1"),
    ending: Callable[[], bool] = lambda: False,
) -> Starlette:
    """The application. ``token``: what strangers need; ``hosts``: the names under which it may be asked for.

    Streams end when ``ending`` says so.
    """
    pages = Pages(runs, ending)
    routes = [
        Route("/", pages.list),
        Route("/list", pages.rows),
        Route("/run", pages.run),
        Route("/content", pages.content),
        Route("/tree", pages.tree),
        Route("/compare", pages.compare),
        Route("/events", pages.events),
        Route("/static/{name}", static),
    ]
    middleware = [
        Middleware(ClosedPages),
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
    ]
    if token is not None:
        middleware.append(Middleware(TokenNeeded, token=token))
    return Starlette(routes=routes, middleware=middleware)


class ClosedPages:
    """Adds the headers that close a page to everything from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message.get("headers", [])}
                own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *(pair for pair in own if pair[0] not in given)]
            await send(message)

        await self.app(scope, receive, with_headers)


class TokenNeeded:
    """Lets nobody in without the token; an address that carries it becomes a cookie."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        if self._is_right(request.query_params.get("token", "")):
            left = request.url.remove_query_params("token")
            answer: Response = RedirectResponse(f"{left.path}{'?' + left.query if left.query else ''}", 303)
            answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
            await answer(scope, receive, send)
        elif self._is_right(request.cookies.get(COOKIE, "")):
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse("the address lacks the token that colt dashboard printed", 403)(
                scope, receive, send
            )

    def _is_right(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())


async def static(request: Request) -> Response:
    """Plotly and our own files."""
    name = request.path_params["name"]
    if name == "plotly.js":
        text = await in_thread(plotly_js)
        return Response(text, media_type="text/javascript", headers=KEPT)
    if name not in OWN:
        return PlainTextResponse("there is no such file", 404)
    return Response(own_file(name), media_type=OWN[name])


class Pages:
    """What is answered to each address."""

    def __init__(self, runs: Runs, ending: Callable[[], bool]) -> None:
        self._runs = runs
        self._ending = ending
        self._streams = 0

    async def list(self, request: Request) -> Response:
        """All runs."""
        rows = await in_thread(self._runs.rows)
        return html(
            "runs.html.jinja",
            title=f"Runs in {self._runs.folder}",
            data=safe(data_json([asdict(row) for row in rows])),
            sources=_sources("theme.js", "runs.js"),
        )

    async def rows(self, request: Request) -> Response:
        """The rows of the list."""
        return json([asdict(row) for row in await in_thread(self._runs.rows)])

    async def run(self, request: Request) -> Response:
        """One run; its content is fetched by the page, which stands at once."""
        name = request.query_params.get("run", "")
        if await in_thread(self._runs.get, name) is None:
            return missing()
        return html(
            "report.html.jinja",
            runs=[],
            title=name,
            home="/",
            root="/",
            data=safe(data_json({"live": name})),
            scripts=(),
            soon="/static/plotly.js",
            sources=_sources("ask.js", *SCRIPTS, "live.js"),
        )

    async def content(self, request: Request) -> Response:
        """What stands on the page of a run."""
        run = await in_thread(self._runs.get, request.query_params.get("run", ""))
        if run is None:
            return missing()
        try:
            return json(await in_thread(run.content))
        except InputError as error:
            return PlainTextResponse(str(error), 409)

    async def tree(self, request: Request) -> Response:
        """The tree of one of a run's programs; pages ask for it when a reader comes to it."""
        run = await in_thread(self._runs.get, request.query_params.get("run", ""))
        number = request.query_params.get("program", "0")
        found = (
            None
            if run is None or not (number.isascii() and number.isdecimal())
            else await in_thread(run.tree, int(number[:9]))
        )
        return missing() if found is None else Response(found, media_type="application/json")

    async def compare(self, request: Request) -> Response:
        """Several runs in the same charts."""
        names = request.query_params.getlist("run")[:MOST_COMPARED]
        found = [await in_thread(self._runs.get, name) for name in names]
        try:
            seen = [one for run in found if run is not None for one in await in_thread(run.seen)]
        except InputError as error:
            return PlainTextResponse(str(error), 409)
        if not seen:
            return missing()
        panel = await in_thread(overlay, seen)
        return html(
            "report.html.jinja",
            runs=[],
            overlay=panel,
            title=f"{len(seen)} runs compared",
            home="/",
            root="/",
            data=safe(data_json(page_data([], panel))),
            scripts=(),
            sources=_sources("plotly.js", *SCRIPTS),
        )

    async def events(self, request: Request) -> Response:
        """A stream that says when a run, or the list, has changed."""
        name = request.query_params.get("run")
        if name is not None and await in_thread(self._runs.get, name) is None:
            return missing()
        if self._streams >= STREAMS:
            return PlainTextResponse("too many pages are watched at a time", 503, {"Retry-After": "10"})
        changes = self._list_changes() if name is None else self._run_changes(name)
        return StreamingResponse(self._counted(changes), media_type="text/event-stream")

    async def _counted(self, changes: AsyncIterator[str]) -> AsyncIterator[str]:
        self._streams += 1
        try:
            async with aclosing(changes) as going:  # type: ignore[type-var]
                async for change in going:
                    yield change
        finally:
            self._streams -= 1

    async def _run_changes(self, name: str) -> AsyncIterator[str]:
        told = 0
        while not self._ending() and (run := await in_thread(self._runs.get, name)) is not None:
            try:
                version = await in_thread(run.update)
            except InputError:
                return
            if version != told:
                told = version
                yield f"data: {version}\n\n"
                await self._rest(0 if run.is_reading else REST * run.made_in_s)
            else:
                yield ": still here\n\n"  # writing is how a reader that has gone is noticed
            if not run.is_reading:
                await in_thread(run.read_programs)
                await self._rest(LOOK_S)

    async def _list_changes(self) -> AsyncIterator[str]:
        told: list[Any] = []
        while not self._ending():
            rows = await in_thread(self._runs.rows)
            if rows != told:
                told = rows
                yield f"data: {data_json([asdict(row) for row in rows])}\n\n"
            else:
                yield ": still here\n\n"
            await self._rest(4 * LOOK_S)

    async def _rest(self, seconds: float) -> None:
        end = anyio.current_time() + seconds
        while not self._ending() and (left := end - anyio.current_time()) > 0:
            await anyio.sleep(min(left, LOOK_S / 2))


async def in_thread(work: Callable[..., Any], *given: Any) -> Any:
    """The result of something that reads files or computes, while others are answered."""
    return await anyio.to_thread.run_sync(lambda: work(*given))


def _sources(*names: str) -> list[str]:
    return [f"/static/{name}" for name in names]


def html(template: str, **values: Any) -> Response:
    """A page."""
    return HTMLResponse(render(template, **values))


def json(value: Any) -> Response:
    """Plain data."""
    return Response(msgspec.json.encode(value), media_type="application/json")


def missing() -> Response:
    """There is no such run."""
    return PlainTextResponse("there is no such run", 404)
