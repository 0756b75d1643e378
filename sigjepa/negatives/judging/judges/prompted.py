"""The judge that shows two functions to a language model in a prompt: what those that ask and those that read share."""

from collections.abc import Iterable
from dataclasses import KW_ONLY
from functools import cached_property
from typing import Any

from sigjepa.negatives.judging.judges.judge import Judge, JudgeRequest
from sigjepa.negatives.judging.judges.prompt import CHARACTERS_PER_TOKEN, Prompt, estimated_tokens, load_prompt
from sigjepa.runtime.fields import Count, component


@component("negatives.judge")
class PromptedJudge(Judge):
    """A judge with a prompt.

    Args:
        prompt: name of a prompt file of this package, or a path ending in `.md`.
        max_code_characters: most of a signature and of a body that is shown.
        limit: most pairs to be judged; None is all.

    Raises SigjepaError for an argument out of range and an unknown prompt.
    """

    _: KW_ONLY
    prompt: str = "score_c_v1"
    max_code_characters: Count = 4000
    limit: Count | None = None

    def __post_init__(self) -> None:
        assert self._prompt.version  # read it now, so that an unknown one is told at once

    @cached_property
    def _prompt(self) -> Prompt:
        return load_prompt(self.prompt)

    def prompt_inputs(self) -> dict[str, Any]:
        """Return what a score depends on of the prompt."""
        return {
            "prompt_version": self._prompt.version,
            "prompt_digest": self._prompt.digest,
            "max_code_characters": self.max_code_characters,
        }

    def prompt_cost(self, requests: Iterable[JudgeRequest]) -> str:
        """Return the estimated tokens of the prompts."""
        tokens = estimated_tokens(self._prompt.messages(request, self.max_code_characters) for request in requests)
        return f"about {tokens:,} prompt tokens (estimated at {CHARACTERS_PER_TOKEN} characters each)"
