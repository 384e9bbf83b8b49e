"""Who may call, how much may be sent and how slowly: checked before a byte of a body is read, and while it comes.

A plain ASGI application around the real one: FastAPI would read a form before it asks who sent it.
"""

import asyncio
import secrets
from collections.abc import Collection, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SCRIPTS = ("page", "search", "live", "guide", "curve")
OPEN_PATHS = ("/", *(f"/{script}.js" for script in SCRIPTS))
"""The page, which holds nothing but code."""

_MAX_SMALL_BYTES = 2**20
_IDLE_S = 60.0
_SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data: blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Guard:
    """Lets through who shows the token, and bodies up to a size: of files ``max_bytes``, of any other 1 MiB."""

    def __init__(self, app: ASGIApp, *, token: str, max_bytes: int, uploads_to: Collection[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._uploads_to = uploads_to
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        limit = self._max_bytes if scope["path"] in self._uploads_to else min(self._max_bytes, _MAX_SMALL_BYTES)
        refusal = self._refusal(scope, headers, limit)
        if refusal is not None:
            await refusal(scope, receive, send_safely)
            return
        await self._app(scope, _limited(receive, limit), send_safely)

    def _refusal(self, scope: MutableMapping[str, Any], headers: Headers, limit: int) -> JSONResponse | None:
        if scope["path"] not in OPEN_PATHS and not self._is_authorized(headers):
            reason = "Send the service's token: 'Authorization: Bearer TOKEN'"
            # its body is not waited for
            return JSONResponse({"detail": reason}, 401, {"www-authenticate": "Bearer", "connection": "close"})
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and len(announced) < 20 and int(announced) <= limit:
            return None
        return JSONResponse({"detail": _too_large(limit)}, 413, {"connection": "close"})

    def _is_authorized(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        is_right = secrets.compare_digest(token.strip().encode(), self._token)
        return is_right and kind.lower() == "bearer"


def _limited(receive: Receive, limit: int) -> Receive:
    """Counts what comes, whatever was announced, and waits only so long for more of it."""
    received, is_whole = 0, False

    async def receive_limited() -> Message:
        nonlocal received, is_whole
        try:
            message = await asyncio.wait_for(receive(), None if is_whole else _IDLE_S)
        except TimeoutError:
            raise HTTPException(408, "The rest of the request does not come", {"connection": "close"}) from None
        is_whole = not message.get("more_body", False)
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, _too_large(limit), {"connection": "close"})
        return message

    return receive_limited


def _too_large(limit: int) -> str:
    return f"The request is larger than the {limit / 2**20:,.4g} MiB that are allowed here"
