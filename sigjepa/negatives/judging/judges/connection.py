"""HTTP with a stranger: answers of bounded size that come in bounded time, and what they say as it may be shown."""

import asyncio
import json
import logging
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sigjepa.errors import SigjepaError
from sigjepa.runtime.terminal import printable
from sigjepa.store.credentials import without_credentials

if TYPE_CHECKING:
    import httpx2

CONTACT_SECONDS = 5.0  # an endpoint that says nothing for so long on first contact is not there
MAX_BYTES = 8 * 2**20  # of one answer, decompressed: a thousand times what a judgement takes
MAX_WORDS = 300  # characters of an endpoint's own words in a message


class OutageError(Exception):
    """Trouble that may pass, within `seconds` where the endpoint says so."""

    def __init__(self, words: str, seconds: float | None = None) -> None:
        super().__init__(words)
        self.seconds = seconds


@dataclass(frozen=True)
class Response:
    """An answer: its JSON, or None where it is none; what it says, as it may be shown; how long it asks to wait."""

    status: int
    content: Any
    words: str
    seconds: float | None


class Connection:
    """Connections to one address, with the key of an environment variable; use and `close` it within one event loop.

    Raises SigjepaError when httpx2 is not installed, and for a key that is none.
    """

    def __init__(self, address: str, api_key_env: str) -> None:
        self.address = address
        self.key = _key(api_key_env)
        self._client = _client({"Authorization": f"Bearer {self.key}"} if self.key else {})

    def clean(self, text: str) -> str:
        """Return what was sent as it may be shown and kept: one printable line, without any credential."""
        return without_credentials(printable(text), [self.key])

    async def request(self, method: str, path: str, body: Any, seconds: float) -> Response:
        """Return the response, whole and within `seconds`; raises OutageError where there is none."""
        import httpx2  # noqa: PLC0415 - optional

        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream(method, f"{self.address}/{path}", json=body) as response,
            ):
                content = await _bounded(response)
        except TimeoutError:
            raise OutageError(f"no whole answer within {seconds:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise OutageError(self.clean(str(error.__cause__ or error) or type(error).__name__)) from None
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            value = None
        words = self.clean(f"HTTP {response.status_code}: {_words(value, content)}")[:MAX_WORDS]
        return Response(response.status_code, value, words, _seconds(response.headers.get("retry-after")))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


async def _bounded(response: "httpx2.Response") -> bytes:
    """Return the decompressed body; raises OutageError for one that is too large or compressed in an odd way."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "deflate"):
        raise OutageError("an answer compressed in a way that was not asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_BYTES:
            raise OutageError(f"an answer of more than {MAX_BYTES:,} bytes")
    if encoding == "identity":
        return bytes(content)
    try:
        inflated = zlib.decompressobj(zlib.MAX_WBITS + 32).decompress(bytes(content), MAX_BYTES + 1)
    except zlib.error:
        raise OutageError("an answer that can't be decompressed") from None
    if len(inflated) > MAX_BYTES:
        raise OutageError(f"an answer of more than {MAX_BYTES:,} bytes")
    return inflated


def _words(value: Any, content: bytes) -> str:
    """Return what an endpoint says in an answer that is none: its message, or its text."""
    error = value.get("error", value) if isinstance(value, dict) else value
    for name in ("message", "detail"):
        if isinstance(error, dict) and isinstance(error.get(name), str):
            return str(error[name])
    return error if isinstance(error, str) else content[: 4 * MAX_WORDS].decode("utf-8", "replace")


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and re.fullmatch(r"\d{1,6}(\.\d{1,6})?", retry_after) else None


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise SigjepaError(
            f"The environment variable {variable} (negatives.judge.api_key_env) holds what no key has: "
            "a letter outside ASCII, or a line break."
        )
    return key


def _client(headers: Mapping[str, str]) -> "httpx2.AsyncClient":
    try:
        import httpx2  # noqa: PLC0415  optional
    except ImportError:
        raise SigjepaError("negatives/judge=openai needs httpx2: pip install 'sigjepa[judges]'.") from None
    if logging.getLogger("httpx2").level == logging.NOTSET:  # it reports every request
        logging.getLogger("httpx2").setLevel(logging.WARNING)
    return httpx2.AsyncClient(
        headers={"Accept-Encoding": "identity", **headers},
        timeout=httpx2.Timeout(None, connect=CONTACT_SECONDS),
        limits=httpx2.Limits(max_connections=None),
    )
