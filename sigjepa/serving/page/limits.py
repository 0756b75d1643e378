"""Limits of requests: their size, how many come in a second, and what an answer may do in a browser."""

import threading
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        *("default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self' data:", "connect-src 'self'"),
        *("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"),
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class TokenBucket:
    """Lets `rate` requests a second pass, and as many at once after a pause."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.clock = rate, clock
        self._tokens, self._seen = rate, clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Return whether one more may pass now."""
        with self._lock:
            now = self.clock()
            self._tokens = min(max(self.rate, 1.0), self._tokens + (now - self._seen) * self.rate)
            self._seen = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class Limits:
    """Refuses requests with a body, with a query longer than `max_query_bytes`, and more than `rate` a second.

    Every answer says that a browser may load nothing but this server's own style and script.
    """

    def __init__(self, app: ASGIApp, max_query_bytes: int, rate: float) -> None:
        self.app, self.max_query_bytes, self.bucket = app, max_query_bytes, TokenBucket(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            refusal = JSONResponse({"error": "A request has no body here."}, 413)
        elif len(scope["query_string"]) + len(scope["path"]) > self.max_query_bytes:
            refusal = JSONResponse({"error": f"A query has at most {self.max_query_bytes:,} bytes."}, 414)
        elif not self.bucket.take():
            refusal = JSONResponse({"error": "Too many requests; wait a second."}, 429, {"retry-after": "1"})
        else:
            await self.app(scope, receive, with_headers)
            return
        await refusal(scope, receive, with_headers)
