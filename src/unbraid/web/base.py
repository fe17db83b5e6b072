"""What the servers of all pages have in common: a page, an API, and how errors are told."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from unbraid.errors import UnbraidError
from unbraid.web.schemas import Busy, Problem
from unbraid.web.security import HEADERS, Guard, cookie_name
from unbraid.web.settings import Access

STATIC = Path(str(files("unbraid.web") / "static"))


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How refusals with these statuses look, for the OpenAPI document."""
    return {status: {"model": Busy if status == 503 else Problem} for status in statuses}


def make_app(
    page: str,
    api: APIRouter,
    access: Access,
    description: str,
    refuse: Callable[[Request, Any], Any],
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
) -> FastAPI:
    """A server as an ASGI application.

    Args:
        page: file name of the page, in `static/`.
        api: its routes.
        access: who may call it.
        description: one line.
        refuse: makes the answer to an `UnbraidError`.
        lifespan: what surrounds its life.
    """

    def index() -> HTMLResponse:
        return _page(page, access)

    async def no_such_method(request: Request, error: Exception) -> JSONResponse:
        """The methods of all routes of a path; Starlette tells only those of the first."""
        allowed: set[str] = set()
        for route in api.routes:
            if isinstance(route, Route) and route.path_regex.match(request.url.path):
                allowed |= route.methods or set()
        headers = {"allow": ", ".join(sorted(allowed or {"GET"}))}
        return JSONResponse({"detail": "no such method here; see allow"}, 405, headers)

    app = FastAPI(
        title="Unbraid",
        version=version("unbraid"),
        description=description,
        openapi_url="/api/openapi.json",
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.ending = asyncio.Event()  # set when the server is about to end
    app.include_router(api)
    app.add_api_route("/", index, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(UnbraidError, refuse)
    app.add_exception_handler(RequestValidationError, _not_as_described)
    app.add_exception_handler(ClientDisconnect, _hung_up)
    app.add_exception_handler(405, no_such_method)
    app.add_exception_handler(Exception, _crash)
    app.add_middleware(Guard, access=access)
    return app


def refusal(error: UnbraidError, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to an error that a user can mend."""
    return JSONResponse({"detail": str(error)}, status, headers)


def _page(name: str, access: Access) -> HTMLResponse:
    """The page; the style that wavesurfer.js adds to it carries a nonce."""
    nonce = secrets.token_urlsafe(16)
    html = (STATIC / name).read_text(encoding="utf-8").replace("{{nonce}}", nonce)
    response = HTMLResponse(html)
    policy = HEADERS["content-security-policy"]
    response.headers["content-security-policy"] = policy.replace(
        "style-src 'self'", f"style-src 'self' 'nonce-{nonce}'"
    )
    if access.token:
        name = cookie_name(access.token)
        response.set_cookie(name, access.token, httponly=True, samesite="strict")
    return response


async def _crash(request: Request, error: Exception) -> JSONResponse:
    """Any other error; the log has it, the client does not."""
    return JSONResponse({"detail": "the server failed; its log says why"}, 500)


async def _not_as_described(request: Request, error: Any) -> JSONResponse:
    """A request that is not as the OpenAPI document describes it; its first mistake."""
    first = error.errors()[0]
    place = " ".join(map(str, first["loc"]))
    return JSONResponse({"detail": " ".join(f"{place}: {first['msg']}".split())}, 422)


async def _hung_up(request: Request, error: Exception) -> Response:
    return Response(status_code=400)
