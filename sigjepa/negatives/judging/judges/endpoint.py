"""An OpenAI-compatible endpoint, which is a stranger: whatever it sends is bounded, cleaned and read with suspicion.

What goes wrong is one of three things. Trouble that may pass (429, 5xx, a time-out, a broken connection, an error under
HTTP 200) is waited for and tried again. When it does not pass, or when the endpoint wants something else (a key, a
model), nothing more can be asked: SigjepaError. And a single question may be refused (`RefusedError`).
"""

import asyncio
import logging
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.connection import CONTACT_SECONDS, Connection, OutageError, Response
from sigjepa.negatives.judging.judges.prompt import Messages

log = logging.getLogger(__name__)

FIRST_WAIT, MAX_WAIT = 0.5, 30.0  # seconds before a question is tried again
PASSING = (408, 409, 425, 429)  # and 5xx
REFUSALS = (400, 413, 422)  # of one request; other client errors are of the key, the model or the address
FORMAT_REFUSALS = (400, 404, 422, 500, 501)
FORMAT_WORDS = re.compile(r"(?i)response_?format|json_?schema|structured|guided|grammar|requested parameters")


class RefusedError(Exception):
    """The endpoint refuses this question, and may answer another."""


@dataclass(frozen=True)
class Completion:
    """A model's text, why it ended there, and what the endpoint says about it."""

    text: str
    finish_reason: str | None
    model: str | None
    prompt_tokens: int
    completion_tokens: int


class _Part(BaseModel):
    type: str | None = None
    text: str = ""


class _Message(BaseModel):
    content: str | list[_Part] | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Answer(BaseModel):
    """The part of an answer without which there is none; servers leave out or add what they like beside it."""

    choices: list[_Choice] = Field(min_length=1)


class Endpoint(Connection):
    """A connection to one model at one endpoint; use it within one event loop, and `close` it there.

    Args:
        base_url: address up to and including `/v1`; no credentials in it.
        model: as the endpoint calls it.
        api_key_env: environment variable that holds the key; one that is not set is none, as local servers need none.
        timeout: seconds for one whole answer.
        max_retries: how often a request is tried again, waiting longer each time, before the endpoint counts as down.
        parameters: further parameters of a request, such as temperature.
        schema: what an answer must look like; asked for as `response_format` where the endpoint knows that.

    Raises SigjepaError when httpx2 is not installed or `base_url` is no address.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str,
        timeout: float,
        max_retries: int,
        parameters: Mapping[str, Any],
        schema: Mapping[str, Any],
    ) -> None:
        super().__init__(checked_address(base_url), api_key_env)
        self.model = model
        self.answered = 0
        self._api_key_env = api_key_env
        self._timeout = timeout
        self._max_retries = max_retries
        self._parameters = dict(parameters)
        self._format: dict[str, Any] | None = {
            "type": "json_schema",
            "json_schema": {"name": "judgement", "strict": True, "schema": dict(schema)},
        }

    async def contact(self) -> None:
        """Raise SigjepaError when nothing answers at the address, within seconds, or it refuses the key."""
        try:
            response = await self.request("GET", "models", None, CONTACT_SECONDS)
        except OutageError as error:
            raise SigjepaError(
                f"negatives.judge.base_url={self.address} does not answer ({error}). Start the server there, for "
                "example with `transformers serve` or `vllm serve`, or give the address of another one."
            ) from None
        if response.status == 401:  # whether it lists its models is no concern of ours
            raise self._end(response)

    async def complete(self, messages: Messages) -> Completion:
        """Return the answer to `messages`.

        Raises RefusedError when the endpoint refuses this question, and SigjepaError when it can't be asked any more.
        """
        for attempt in range(self._max_retries + 1):
            try:
                return await self._complete(messages)
            except OutageError as error:
                outage = error
            if attempt < self._max_retries:
                wait = outage.seconds or FIRST_WAIT * 2**attempt * random.uniform(0.75, 1.0)
                await asyncio.sleep(min(wait, MAX_WAIT))
        raise SigjepaError(
            f"negatives.judge.base_url={self.address} gives no answers ({outage}). Look at the server's log, and that "
            "the address ends as the server's does, in /v1; negatives.judge.max_retries and negatives.judge.timeout "
            "say how patient to be with it."
        )

    async def _complete(self, messages: Messages) -> Completion:
        response = await self._ask(messages, self._format)
        if self._format is not None and self._refuses_format(response):
            plain = await self._ask(messages, None)
            if plain.status == 200:
                self._format = None
                log.info("%s refuses response_format: answers are asked for in words, and checked.", self.address)
                response = plain
        if response.status in PASSING or response.status >= 500:
            raise OutageError(response.words, response.seconds)
        if response.status in REFUSALS:
            raise RefusedError(response.words)
        if response.status != 200:
            raise self._end(response)
        try:
            choice = _Answer.model_validate(response.content).choices[0]
        except ValidationError:  # an error, a page of a proxy, or half an answer
            raise OutageError(response.words) from None
        self.answered += 1
        content = choice.message.content
        if isinstance(content, list):
            content = "".join(part.text for part in content if part.type in (None, "text", "output_text"))
        model, usage = response.content.get("model"), response.content.get("usage")
        tokens = [usage.get(f"{kind}_tokens") if isinstance(usage, dict) else 0 for kind in ("prompt", "completion")]
        return Completion(
            content or "",
            choice.finish_reason and self.clean(choice.finish_reason),
            self.clean(model) if isinstance(model, str) else None,
            *(count if isinstance(count, int) else 0 for count in tokens),
        )

    def _refuses_format(self, response: Response) -> bool:
        if response.status not in FORMAT_REFUSALS:
            return False
        # before the first answer any refusal may mean the format, but 500 says so
        return FORMAT_WORDS.search(response.words) is not None or (not self.answered and response.status != 500)

    async def _ask(self, messages: Messages, response_format: Mapping[str, Any] | None) -> Response:
        body = {"model": self.model, "messages": messages, **self._parameters}
        body |= body.pop("extra_body", {})
        if response_format is not None:
            body["response_format"] = response_format
        return await self.request("POST", "chat/completions", body, self._timeout)

    def _end(self, response: Response) -> SigjepaError:
        """Return the error for an endpoint that can't be asked any more."""
        if response.status in (401, 403):
            state = "holds a key that it refuses" if self.key else "is not set, and it wants a key"
            way_out = f"The environment variable {self._api_key_env} (negatives.judge.api_key_env) {state}."
        else:
            way_out = (
                f"Check negatives.judge.model={self.model}, and that negatives.judge.base_url ends as the server's "
                "does, in /v1."
            )
        return SigjepaError(f"negatives.judge.base_url={self.address} gives no answers ({response.words}). {way_out}")


def checked_address(base_url: str) -> str:
    """Return `base_url` as it may be shown; raises SigjepaError when it is no address or holds credentials."""
    try:
        parts = urlsplit(base_url)
        _ = parts.port  # reading it raises ValueError for one that is no number, or too large
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SigjepaError(f"negatives.judge.base_url={base_url} is not an address such as http://127.0.0.1:8000/v1.")
    if parts.username or parts.password or parts.query:
        raise SigjepaError(
            f"negatives.judge.base_url ({parts.scheme}://{parts.hostname}) must not hold credentials or a query: "
            "configurations are kept with every run. Name the key's environment variable in "
            "negatives.judge.api_key_env."
        )
    return base_url.rstrip("/")
