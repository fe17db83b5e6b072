"""What every request passes (host, origin, token), and the headers of every answer."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from html import escape
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unbraid.web.settings import Access

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; media-src 'self' blob:; worker-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-cache",
}

_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Unbraid</title><p>{}</p></html>'
)


def cookie_name(token: str) -> str:
    """Name of the cookie with a server's token; each has its own, as cookies know no ports."""
    return f"unbraid_{hashlib.sha256(token.encode()).hexdigest()[:8]}"


class Guard:
    """ASGI middleware that refuses strange requests and hardens every answer.

    The Host header is checked because a page of any site can make its own name point to this
    machine (DNS rebinding); an address without a name cannot be misused so.

    Args:
        app: what it guards.
        access: who may call it.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the app answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def harden(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if message["status"] >= 400:
                    headers["connection"] = "close"  # else an unread body would be waited for
            await send(message)

        refusal = self._refusal(scope)
        if refusal:
            await _told(*refusal, scope["path"])(scope, receive, harden)
        else:
            await self._app(scope, receive, harden)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._knows(host):
            return 400, "unknown host: call the server by the address it printed at its start"
        path: str = scope["path"]
        if _is_foreign(headers, host) and (path.startswith("/api/") or scope["method"] != "GET"):
            return 403, "requests from other web sites are refused"
        token = self._access.token
        if token and path != "/api/health" and not _carries(token, scope, headers):
            return 401, "a token is needed: open the address that the server printed at its start"
        return None

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._access.hosts:
            return True
        return self._access.any_address and _is_address(name)


def _told(status: int, reason: str, path: str) -> Response:
    """A refusal: of the page for people, of all else for programs."""
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    if path == "/":
        return HTMLResponse(_PAGE.format(escape(reason)), status, headers)
    return JSONResponse({"detail": reason}, status, headers)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign(headers: Headers, host: str) -> bool:
    """Whether a browser says that another site's page sends this."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.split("://")[-1] != host


def _carries(token: str, scope: Scope, headers: Headers) -> bool:
    """Whether a request shows the token: as a header, a cookie, or the page in its address."""
    shown = [headers.get("authorization", "").removeprefix("Bearer ")]
    shown.append(cookie_parser(headers.get("cookie", "")).get(cookie_name(token), ""))
    if scope["path"] == "/":
        shown += parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
    return any(
        hmac.compare_digest(token.encode(), given.encode("utf-8", "replace")) for given in shown
    )
