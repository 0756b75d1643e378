"""A judge that asks a language model at any OpenAI-compatible endpoint, be it local or hosted."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.endpoint import Endpoint, RefusedError, checked_address
from sigjepa.negatives.judging.judges.judge import Judge, Judgement, JudgeRequest
from sigjepa.negatives.judging.judges.parsing import ANSWER_SCHEMA, UnusableAnswerError, read_answer
from sigjepa.negatives.judging.judges.prompt import (
    CHARACTERS_PER_TOKEN,
    Messages,
    Prompt,
    estimated_tokens,
    load_prompt,
)

VERSION = 1  # raise it when the same answer may give another score

DRAIN_SECONDS = 10.0  # for answers under way when the endpoint fails: they may still come, and are paid for
KEPT_ANSWER = 2_000  # characters of an unusable answer that are recorded and shown to the model again

Answer = tuple[JudgeRequest, Judgement]


@dataclass(frozen=True)
class OpenAIJudge(Judge):
    """Scores a pair by the JSON that a language model answers; checked here, repaired once, else a parse error.

    Args:
        base_url: address of the endpoint, up to and including `/v1`.
        model: as the endpoint calls it; it names the response cache, so give models names that tell their weights
        apart. api_key_env: environment variable of the key, which is written nowhere; a local server needs none.
        prompt: name of a prompt file of this package, or a path ending in `.md`. temperature: None leaves it to the
        endpoint. max_answer_tokens: longest answer; None leaves it to the endpoint. max_code_characters: most of a
        signature and of a body that is shown. extra_body: further fields of each request, for what one kind of server
        alone knows. concurrency: requests in flight. timeout: seconds for one answer. max_retries: how often a request
        is tried again after 429, 5xx or a time-out, waiting longer each time. limit: most pairs to be judged; None is
        all. parse_error_retries: how many times a pair whose recorded answer held no score is asked again.

    Raises SigjepaError for an argument out of range, an unknown prompt, and an address that is none.
    """

    base_url: str
    model: str
    api_key_env: str = "OPENAI_API_KEY"
    prompt: str = "score_c_v1"
    temperature: float | None = 0.0
    max_answer_tokens: int | None = 200
    max_code_characters: int = 4000
    extra_body: Mapping[str, Any] | None = None
    concurrency: int = 16
    timeout: float = 60.0
    max_retries: int = 5
    limit: int | None = None
    parse_error_retries: int = 0

    def __post_init__(self) -> None:
        checked_address(self.base_url)
        self._prompt.repair_message("")
        least = {"max_code_characters": 1, "concurrency": 1, "max_retries": 0, "limit": 1, "parse_error_retries": 0}
        for key, smallest in (least | {"max_answer_tokens": 1}).items():
            value = getattr(self, key)
            if value is not None and value < smallest:
                raise SigjepaError(f"negatives.judge.{key} must be at least {smallest}, got {value}.")
        if not self.timeout > 0:
            raise SigjepaError(f"negatives.judge.timeout must be above 0 seconds, got {self.timeout}.")

    @cached_property
    def _prompt(self) -> Prompt:
        return load_prompt(self.prompt)

    @property
    def packages(self) -> Sequence[str]:
        """The SDK."""
        return ("openai",)

    @property
    def name(self) -> str:
        """The model behind the scores."""
        return f"openai: {self.model}"

    def fingerprint(self) -> dict[str, Any]:
        """Return the model, prompt and all that an answer depends on; not where, how fast and how many are asked."""
        return {
            "judge": "openai",
            "version": VERSION,
            "model": self.model,
            "prompt_version": self._prompt.version,
            "prompt_digest": self._prompt.digest,
            "temperature": None if self.temperature is None else float(self.temperature),
            "max_answer_tokens": self.max_answer_tokens,
            "max_code_characters": self.max_code_characters,
            "extra_body": dict(self.extra_body) if self.extra_body else None,
        }

    def cost(self, requests: Sequence[JudgeRequest]) -> str:
        """Return the estimated tokens, and how many requests are in flight."""
        prompts = estimated_tokens(self._messages(request) for request in requests)
        answers = "as many completion tokens as the endpoint allows"
        if (most := self.max_answer_tokens) is not None:
            answers = f"at most {len(requests) * most:,} completion tokens ({most} a pair)"
        return (
            f"about {prompts:,} prompt tokens (estimated at {CHARACTERS_PER_TOKEN} characters each) and {answers}, "
            f"repairs not counted; {self.concurrency} at a time, {self.model} at {checked_address(self.base_url)}"
        )

    def judge(self, requests: Iterable[JudgeRequest]) -> Iterator[Answer]:
        """Answers as they come; one question alone at first, which settles what the endpoint can do.

        Raises SigjepaError when the endpoint can't be asked, after the answers under way.
        """
        waiting = iter(requests)
        running: set[asyncio.Task[Answer]] = set()
        failure: SigjepaError | None = None
        with asyncio.Runner() as runner:
            endpoint = runner.run(self._endpoint())
            try:
                while failure is None:
                    free = (self.concurrency if endpoint.answered else 1) - len(running)
                    running |= {
                        runner.get_loop().create_task(self._ask(endpoint, request)) for request in islice(waiting, free)
                    }
                    if not running:
                        return
                    done, running = runner.run(_first(running))
                    for task in sorted(done, key=lambda task: task.exception() is not None):
                        if isinstance(error := task.exception(), SigjepaError):
                            failure = failure or error
                        else:
                            yield task.result()
                done, running = runner.run(_first(running, all_within=DRAIN_SECONDS))
                yield from (task.result() for task in done if task.exception() is None)
                raise failure
            finally:
                runner.run(_let_go(running, endpoint))

    async def _endpoint(self) -> Endpoint:
        sent = {"temperature": self.temperature, "max_tokens": self.max_answer_tokens, "extra_body": self.extra_body}
        endpoint = Endpoint(
            self.base_url,
            self.model,
            api_key_env=self.api_key_env,
            timeout=self.timeout,
            max_retries=self.max_retries,
            parameters={key: value for key, value in sent.items() if value is not None},
            schema=ANSWER_SCHEMA,
        )
        try:
            await endpoint.contact()
        except SigjepaError:
            await endpoint.close()
            raise
        return endpoint

    def _messages(self, request: JudgeRequest) -> Messages:
        return self._prompt.messages(request, self.max_code_characters)

    async def _ask(self, endpoint: Endpoint, request: JudgeRequest) -> Answer:
        messages = self._messages(request)
        details: dict[str, Any] = {"model": None, "prompt_tokens": 0, "completion_tokens": 0}
        try:
            for repaired in (False, True):
                completion = await endpoint.complete(messages)
                details["model"] = completion.model
                details["prompt_tokens"] += completion.prompt_tokens
                details["completion_tokens"] += completion.completion_tokens
                if repaired:
                    details["repaired"] = True
                try:
                    score, reason = read_answer(completion.text)
                except UnusableAnswerError as error:
                    problem, shown = str(error), completion.text[:KEPT_ANSWER]
                    details["answer"] = shown
                    messages = [
                        *messages,
                        {"role": "assistant", "content": shown or "(nothing)"},
                        {"role": "user", "content": self._prompt.repair_message(problem)},
                    ]
                else:
                    details.pop("answer", None)
                    return request, Judgement(score, reason, details)
        except RefusedError as error:
            return request, Judgement(None, f"parse_error: refused by the endpoint: {error}", details)
        return request, Judgement(None, f"parse_error: {problem}", details)


async def _first(
    tasks: set[asyncio.Task[Answer]], all_within: float | None = None
) -> tuple[set[asyncio.Task[Answer]], set[asyncio.Task[Answer]]]:
    """Return the tasks that are done, at least one, and those that are not; or all that get done within some
    seconds.
    """
    if not tasks:
        return set(), set()
    if all_within is not None:
        return await asyncio.wait(tasks, timeout=all_within)
    return await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def _let_go(tasks: set[asyncio.Task[Answer]], endpoint: Endpoint) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await endpoint.close()
