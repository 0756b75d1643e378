"""A search as a page and as a JSON API."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sigjepa.corpus.text import indent_source
from sigjepa.data.shares import label_of, shown_shares
from sigjepa.errors import SigjepaError
from sigjepa.serving.answer import MAX_TOP_K, Answer, Result
from sigjepa.serving.code_search import CodeSearch
from sigjepa.serving.page.batches import Batches
from sigjepa.serving.page.limits import Limits
from sigjepa.serving.page.openapi import openapi_document
from sigjepa.serving.query import read_query

DEFAULT_TOP_K = 10
MAX_HIGHLIGHTED = 2048
"""Functions whose HTML is kept, the latest shown."""
MAX_DIGITS = 20
"""Of the row of a function in a path."""
LIGHT, DARK = "default", "github-dark"


class Pages:
    """Answers requests with what a search finds.

    card: Markdown about the student, empty for none. threads: how many search.
    """

    def __init__(self, search: CodeSearch, card: str, threads: int = 1) -> None:
        self.search = search
        markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
        self.card = Markup(markdown.render(without_metadata(card)))
        run_results = Markup(markdown.render(section_of(card, "Results")))
        self.batches = Batches(search, threads=threads)
        self._highlighted = lru_cache(MAX_HIGHLIGHTED)(highlighted)
        self._templates = Environment(
            loader=PackageLoader("sigjepa.serving.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"code": self.code, "label": label_of, "shown": shown_shares}
        self._templates.globals |= {"functions": len(search.index), "has_card": bool(card), "run_results": run_results}

    async def answer(self, request: Request) -> Answer:
        """Return what the query of a request comes to."""
        return await self.batches.answer(read_query(request.query_params.get("q", "")), number_of(request))

    async def page(self, request: Request) -> Response:
        """Return the page of a search, empty without a query."""
        text = request.query_params.get("q", "").rstrip()
        answer = await self.answer(request) if text else None
        return await run_in_threadpool(self.render, "search.html.j2", text=text, answer=answer)

    def function_page(self, request: Request) -> Response:
        """Return the page of a function and its neighbors."""
        row = row_of(request)
        function, neighbors = self.search.function(row), self.search.neighbors(row, DEFAULT_TOP_K)
        return self.render("function.html.j2", text=function.signature, result=function, neighbors=neighbors)

    def student_page(self, request: Request) -> Response:
        """Return the page about the student: its model card, with the results of its run."""
        return self.render("student.html.j2", text="", card=self.card)

    async def api_search(self, request: Request) -> Response:
        """Return what was found as JSON."""
        return JSONResponse((await self.answer(request)).as_dict())

    def api_function(self, request: Request) -> Response:
        """Return a function as JSON."""
        return JSONResponse(self.search.function(row_of(request)).as_dict())

    def api_neighbors(self, request: Request) -> Response:
        """Return the neighbors of a function as JSON."""
        neighbors = self.search.neighbors(row_of(request), number_of(request))
        return JSONResponse([each.as_dict() for each in neighbors])

    def code(self, result: Result, lines: int | None = None) -> Markup:
        """Return a function's code as HTML, highlighted; lines: how many of it, None for all."""
        code = f"{result.signature}\n{indent_source(result.body, '    ')}".split("\n")
        shown = code if lines is None else code[:lines]
        rest = f"\n# … {len(code) - len(shown)} more lines" if len(shown) < len(code) else ""
        return self._highlighted("\n".join(shown) + rest)

    def style(self, request: Request) -> Response:
        """Return the style sheet of highlighted code, for light and for dark."""
        light = HtmlFormatter(style=LIGHT).get_style_defs(".code")
        dark_of_choice = HtmlFormatter(style=DARK).get_style_defs(':root[data-theme="dark"] .code')
        by_system = HtmlFormatter(style=DARK).get_style_defs(':root:not([data-theme="light"]) .code')
        return Response(
            f"{light}\n{dark_of_choice}\n@media (prefers-color-scheme: dark) {{\n{by_system}\n}}\n",
            media_type="text/css",
        )

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page."""
        return HTMLResponse(self._templates.get_template(template).render(**values), status)

    def error_response(self, request: Request, error: Exception) -> Response:
        """Return what is said of a request that can't be answered."""
        status = error.status_code if isinstance(error, HTTPException) else 400
        said = error.detail if isinstance(error, HTTPException) else str(error)
        headers = error.headers if isinstance(error, HTTPException) else None
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": said}, status, headers)
        page = self.render("error.html.j2", status, text=request.query_params.get("q", ""), said=said)
        page.headers.update(headers or {})
        return page


def highlighted(code: str) -> Markup:
    """Return Python code as HTML."""
    return Markup(highlight(code, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)))


def without_metadata(card: str) -> str:
    """Return a model card without the metadata that it begins with."""
    _, begins, rest = card.partition("---\n")
    return rest.partition("\n---\n")[2] if begins and card.startswith("---\n") else card


def section_of(card: str, title: str) -> str:
    """Return what a model card says below a heading of the second level; nothing where it has none."""
    return f"\n{card}".partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def number_of(request: Request) -> int:
    """Return how many results are asked for; raises SigjepaError for what is no number from 1 to MAX_TOP_K."""
    text = request.query_params.get("top_k", str(DEFAULT_TOP_K))
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_TOP_K)) else 0
    if not 1 <= number <= MAX_TOP_K:
        raise SigjepaError(f"top_k={text[:20]} must be a whole number from 1 to {MAX_TOP_K}.")
    return number


def row_of(request: Request) -> int:
    """Return the row that a path names; raises HTTPException 404 for one that the index does not have."""
    text, functions = request.path_params["row"], request.app.state.search.index
    # Starlette's own `{row:int}` fails on more digits than Python turns into a number
    row = int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else len(functions)
    if row >= len(functions):
        shown = text[:MAX_DIGITS]
        raise HTTPException(404, f"The index has no function {shown}: it has {len(functions):,}, from 0 on.")
    return row


def create_app(
    search: CodeSearch,
    *,
    card: str = "",
    hosts: Sequence[str] = ("*",),
    max_query_bytes: int = 8192,
    rate: float = 100.0,
    threads: int = 1,
) -> Starlette:
    """Return the ASGI application of a search.

    card: Markdown about the student. hosts: names under which a browser may ask for it, so that no other site's name
    can be pointed at it. max_query_bytes, rate: of all requests together, see `Limits`. threads: how many search.
    """
    pages = Pages(search, card, threads)
    routes = [
        *(
            _get("/", pages.page),
            _get("/function/{row}", pages.function_page),
            _get("/student", pages.student_page),
        ),
        _get("/api/index", lambda request: JSONResponse({"functions": len(search)})),
        *(_get("/api/search", pages.api_search), _get("/api/functions/{row}", pages.api_function)),
        _get("/api/functions/{row}/neighbors", pages.api_neighbors),
        _get("/openapi.json", lambda request: JSONResponse(openapi_document())),
        _get("/code.css", pages.style),
        Mount("/static", StaticFiles(packages=[("sigjepa.serving.page", "static")])),
    ]
    middleware = [
        Middleware(Limits, max_query_bytes=max_query_bytes, rate=rate),
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
    ]
    handlers: Mapping[Any, Any] = {SigjepaError: pages.error_response, HTTPException: pages.error_response}
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)
    app.state.search = search
    return app


def _get(path: str, answer: Callable[[Request], Response | Awaitable[Response]]) -> Route:
    return Route(path, answer, methods=["GET"])
