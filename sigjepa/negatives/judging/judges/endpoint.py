"""An OpenAI-compatible endpoint: the only file that imports `openai`.

What goes wrong is one of three things. Trouble that may pass (429, 5xx, a time-out, a broken connection) is waited for
and tried again by the SDK. When it does not pass, or when the endpoint wants something else (a key, a model), nothing
more can be asked: SigjepaError. And a single question may be refused (`RefusedError`) while others are answered.
"""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.prompt import Messages

if TYPE_CHECKING:
    import openai

logger = logging.getLogger(__name__)

CONTACT_SECONDS = 5.0  # an endpoint that says nothing for so long on first contact is not there
REFUSALS = (400, 413, 422)  # of one request; other client errors are of the key, the model or the address


class RefusedError(Exception):
    """The endpoint refuses this question, and may answer another."""


@dataclass(frozen=True)
class Completion:
    """A model's text, and what the endpoint says about it."""

    text: str
    model: str | None
    prompt_tokens: int
    completion_tokens: int


class Endpoint:
    """One model at one endpoint; use it within one event loop, and `close` it there.

    Args:
        base_url: address up to and including `/v1`; no credentials in it.
        model: as the endpoint calls it.
        api_key_env: environment variable that holds the key; one that is not set is none, as local servers need none.
        timeout: seconds for one answer.
        max_retries: how often a request is tried again, with back-off, before the endpoint counts as down.
        parameters: further parameters of a request, such as temperature.
        schema: what an answer must look like; asked for as `response_format` where the endpoint knows that.

    Raises SigjepaError when the SDK is not installed or `base_url` is no address.
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
        self.address = checked_address(base_url)
        self._sdk = _sdk()
        self._client = self._sdk.AsyncOpenAI(
            base_url=base_url,
            api_key=os.environ.get(api_key_env) or "none",
            timeout=self._sdk.Timeout(timeout, connect=min(timeout, CONTACT_SECONDS)),
            max_retries=max_retries,
        )
        self.model = model
        self.answered = 0
        self._misunderstood = 0
        self._api_key_env = api_key_env
        self._parameters = dict(parameters)
        self._format: dict[str, Any] | None = {
            "type": "json_schema",
            "json_schema": {"name": "judgement", "strict": True, "schema": dict(schema)},
        }

    async def contact(self) -> None:
        """Raise SigjepaError when nothing answers at the address, within seconds."""
        try:
            await self._client.with_options(timeout=CONTACT_SECONDS, max_retries=0).models.list()
        except self._sdk.AuthenticationError as error:
            self._give_up(error)
        except self._sdk.APIConnectionError as error:  # a time-out, too
            raise SigjepaError(
                f"negatives.judge.base_url={self.address} does not answer ({_reason(error)}). Start the server there, "
                "for example with `transformers serve` or `vllm serve`, or give the address of another one."
            ) from error
        except self._sdk.OpenAIError as error:  # it is there; whether it lists its models is no concern of ours
            logger.debug("%s lists no models: %s", self.address, error)

    async def complete(self, messages: Messages) -> Completion:
        """Return the answer to `messages`.

        Raises RefusedError when the endpoint refuses this question though it answered others, and SigjepaError when it
        can't be asked any more.
        """
        sdk = self._sdk
        try:
            try:
                return await self._create(messages)
            except (sdk.BadRequestError, sdk.UnprocessableEntityError):
                if self._format is None or self.answered:
                    raise
                completion = await self._create(messages, formatted=False)
                self._format = None
                logger.info(
                    "%s refuses response_format: answers are asked for in words, and checked here.", self.address
                )
                return completion
        except sdk.APIStatusError as error:
            if error.status_code in REFUSALS and self.answered:
                raise RefusedError(_reason(error)) from error
            self._give_up(error)
        except sdk.OpenAIError as error:
            self._give_up(error)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _create(self, messages: Messages, *, formatted: bool = True) -> Completion:
        parameters = self._parameters | ({"response_format": self._format} if formatted and self._format else {})
        extra = parameters.pop("extra_body", None)
        try:
            answer = await self._client.chat.completions.create(
                model=self.model, messages=messages, extra_body=extra, **parameters
            )
        except ValueError:  # the SDK passes on what the JSON parser says of a response
            answer = None
        # Servers that only resemble the protocol leave things out, and the SDK checks nothing.
        choices, usage = getattr(answer, "choices", None), getattr(answer, "usage", None)
        if choices:
            self.answered += 1
        else:
            self._misunderstood += 1
            if not self.answered and self._misunderstood > 1:
                raise SigjepaError(
                    f"negatives.judge.base_url={self.address} answers, but not as a chat-completions endpoint; check "
                    "that it ends as the server's does, in /v1."
                )
        message = getattr(choices[0], "message", None) if choices else None
        text = getattr(message, "content", None)
        model, *tokens = (
            getattr(answer, "model", None),
            getattr(usage, "prompt_tokens", None),
            getattr(usage, "completion_tokens", None),
        )
        counts = [count if isinstance(count, int) else 0 for count in tokens]
        return Completion(text if isinstance(text, str) else "", model if isinstance(model, str) else None, *counts)

    def _give_up(self, error: "openai.OpenAIError") -> NoReturn:
        status = getattr(error, "status_code", None)
        if status in (401, 403):
            state = (
                "holds a key that it refuses" if os.environ.get(self._api_key_env) else "is not set, and it wants a key"
            )
            way_out = f"The environment variable {self._api_key_env} (negatives.judge.api_key_env) {state}."
        elif status == 404:
            way_out = (
                f"Check negatives.judge.model={self.model}, and that negatives.judge.base_url ends as the server's "
                "does, in /v1."
            )
        elif status in REFUSALS:
            way_out = (
                f"Check negatives.judge.model={self.model} and what is sent: negatives.judge.temperature=null and "
                "negatives.judge.max_answer_tokens=null leave those out, a lower negatives.judge.max_code_characters "
                "shortens the prompt."
            )
        else:
            way_out = (
                "Look at the server's log; negatives.judge.max_retries and negatives.judge.timeout say how patient to "
                "be with it."
            )
        raise SigjepaError(
            f"negatives.judge.base_url={self.address} gives no answers ({_reason(error)}). {way_out}"
        ) from error


def checked_address(base_url: str) -> str:
    """Return `base_url` as it may be shown; raises SigjepaError when it is no address or holds credentials."""
    try:
        parts = urlsplit(base_url)
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


def _sdk() -> Any:
    try:
        import openai  # noqa: PLC0415  optional, and half a second to import
    except ImportError:
        raise SigjepaError("negatives/judge=openai needs the openai SDK: pip install 'sigjepa[judges]'.") from None
    for name in ("openai", "httpx", "httpx2"):  # they report every request
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.WARNING)
    return openai


def _reason(error: Exception) -> str:
    """Return what went wrong in one short printable line, without what a server may have echoed of a key."""
    cause = error.__cause__ if error.__cause__ is not None else error
    status = getattr(error, "status_code", None)
    said = str(error if status else cause) or type(cause).__name__
    text = " ".join("".join(one if one.isprintable() else " " for one in said).split())  # it may be for a terminal
    text = re.sub(r"(?i)\b(sk|key|bearer)[-_ ][\w*.-]{6,}", "<key>", text)
    return text[:300]
