"""A judge that asks a language model at any OpenAI-compatible endpoint, be it local or hosted."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY
from itertools import islice
from typing import Annotated, Any

from pydantic import Field

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.endpoint import Completion, Endpoint, RefusedError, checked_address
from sigjepa.negatives.judging.judges.judge import Judgement, JudgeRequest
from sigjepa.negatives.judging.judges.parsing import ANSWER_SCHEMA, UnusableAnswerError, read_answer
from sigjepa.negatives.judging.judges.prompted import PromptedJudge
from sigjepa.runtime.fields import Count, component
from sigjepa.store.stage import Resource

VERSION = 2  # raise it when the same answer may give another score

DRAIN_SECONDS = 10.0  # for answers under way when the endpoint fails: they may still come, and are paid for
KEPT_ANSWER = 2_000  # characters of an unusable answer that are recorded and shown to the model again

Answer = tuple[JudgeRequest, Judgement]
NotNegative = Annotated[int, Field(ge=0)]


@component("negatives.judge")
class OpenAIJudge(PromptedJudge):
    """Scores a pair by the JSON that a language model answers; checked here, repaired once, else a parse error.

    Args:
        base_url: address of the endpoint, up to and including `/v1`.
        model: as the endpoint calls it; it names the response cache, so give models names that tell their weights
            apart.
        api_key_env: environment variable of the key, which is written nowhere; a local server needs none.
        temperature: None leaves it to the endpoint.
        max_answer_tokens: longest answer; None leaves it to the endpoint.
        extra_body: further fields of each request, for what one kind of server alone knows.
        concurrency: requests in flight, of each process that judges; `executor=local` has one for what waits.
        timeout: seconds for one whole answer.
        max_retries: how often a request is tried again after 429, 5xx or a time-out, waiting longer each time.
        parse_error_retries: how many times a pair whose recorded answer held no score is asked again.

    The others as for `PromptedJudge`. Raises SigjepaError for an argument out of range, an unknown prompt or one
    without a section `# repair`, and an address that is none.
    """

    base_url: str
    model: str
    _: KW_ONLY
    api_key_env: str = "OPENAI_API_KEY"
    temperature: float | None = 0.0
    max_answer_tokens: Count | None = 200
    extra_body: Mapping[str, Any] | None = None
    concurrency: Count = 16
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    max_retries: NotNegative = 5
    parse_error_retries: NotNegative = 0

    def __post_init__(self) -> None:
        checked_address(self.base_url)
        self._prompt.repair_message("")

    @property
    def packages(self) -> Sequence[str]:
        """What speaks to the endpoint."""
        return ("httpx2",)

    @property
    def uses(self) -> Resource:
        """Nothing of this machine: another process would only ask more at a time."""
        return "network"

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
            **self.prompt_inputs(),
            "temperature": None if self.temperature is None else float(self.temperature),
            "max_answer_tokens": self.max_answer_tokens,
            "extra_body": dict(self.extra_body) if self.extra_body else None,
        }

    def cost(self, requests: Iterable[JudgeRequest]) -> str:
        """Return the estimated tokens, and how many requests are in flight."""
        count = itertools.count()
        prompts = self.prompt_cost(request for request, _ in zip(requests, count, strict=False))
        answers = "as many completion tokens as the endpoint allows"
        if (most := self.max_answer_tokens) is not None:
            answers = f"at most {next(count) * most:,} completion tokens ({most} a pair)"
        return (
            f"{prompts} and {answers}, repairs not counted; {self.concurrency} at a time in each process, "
            f"{self.model} at {checked_address(self.base_url)}"
        )

    def judge(self, requests: Iterable[JudgeRequest]) -> Iterator[Answer]:
        """Answers as they come; one question alone until the first answer, which settles what the endpoint can do.

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

    async def _ask(self, endpoint: Endpoint, request: JudgeRequest) -> Answer:
        messages = self._prompt.messages(request, self.max_code_characters)
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
                    score, reason = self._read(completion)
                except UnusableAnswerError as error:
                    problem, shown = str(error), endpoint.clean(completion.text)[:KEPT_ANSWER]
                    details["answer"] = shown
                    messages = [
                        *messages,
                        {"role": "assistant", "content": shown or "(nothing)"},
                        {"role": "user", "content": self._prompt.repair_message(problem)},
                    ]
                else:
                    details.pop("answer", None)
                    return request, Judgement(score, endpoint.clean(reason), details)
        except RefusedError as error:
            return request, Judgement(None, f"parse_error: refused by the endpoint: {error}", details)
        return request, Judgement(None, f"parse_error: {endpoint.clean(problem)}", details)

    def _read(self, completion: Completion) -> tuple[int, str]:
        """Return score and reason; raises UnusableAnswerError, also for an answer that was not finished."""
        if completion.finish_reason == "length":
            raise UnusableAnswerError(
                f"it was cut off, negatives.judge.max_answer_tokens={self.max_answer_tokens} being too few"
            )
        try:
            return read_answer(completion.text)
        except UnusableAnswerError as error:
            if completion.finish_reason in (None, "stop"):
                raise
            raise UnusableAnswerError(f"{error} (finish_reason={completion.finish_reason})") from None


async def _first(
    tasks: set[asyncio.Task[Answer]], all_within: float | None = None
) -> tuple[set[asyncio.Task[Answer]], set[asyncio.Task[Answer]]]:
    """Return the tasks that are done, at least one, and those that are not; or all that get done within some
    seconds.
    """
    if not tasks:
        return set(), set()
    until = asyncio.FIRST_COMPLETED if all_within is None else asyncio.ALL_COMPLETED
    return await asyncio.wait(tasks, timeout=all_within, return_when=until)


async def _let_go(tasks: set[asyncio.Task[Answer]], endpoint: Endpoint) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await endpoint.close()
