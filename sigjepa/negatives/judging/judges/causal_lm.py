"""A judge that reads a local language model's probabilities of the four scores: nothing is generated or parsed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from sigjepa.negatives.judging.judges.judge import Judgement, JudgeRequest
from sigjepa.negatives.judging.judges.prompted import PromptedJudge
from sigjepa.negatives.judging.judges.scoring_model import ScoringModel
from sigjepa.runtime.fields import Count, component
from sigjepa.store.files import file_digest
from sigjepa.store.stage import Resource
from sigjepa.teacher.batching import token_budget_batches
from sigjepa.teacher.pretrained import Checkpoint

VERSION = 2  # raise it when the same pair may get another score

DECIMALS = 6  # of a probability; what float32 gives alike in every batch
SORTED_TOGETHER = 2048  # requests whose prompts share batches by length


@component("negatives.judge")
class CausalLmJudge(PromptedJudge):
    """Scores a pair by the likeliest of the four scores as a causal model's next token; the lower one at a tie.

    In float32 a pair's probabilities do not depend on what else is in its batch; half precisions round by batch.

    Args:
        path: local directory, `package://<package>/<folder>`, or Hub id. Code in a checkpoint is never run.
        revision: commit of a Hub id.
        weights_sha256: expected digest of `model.safetensors`.
        dtype: precision of the model.
        device: auto (CUDA when there is one), cpu, cuda, cuda:1, ...
        prompt: it must ask for one digit.
        max_tokens: longest prompt in tokens; longer code is cut.
        min_mass: share of the next token's probability that the four scores must have together; a model that has less
            for them, as one that is about to think, gives no score.
        tokens_per_batch: tokens in a batch, padding included.

    The others as for `PromptedJudge`. Raises SigjepaError for an argument out of range and an unknown prompt.
    """

    path: str
    _: KW_ONLY
    revision: str | None = None
    weights_sha256: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "auto"
    prompt: str = "score_c_digit_v1"
    max_tokens: Count = 2048
    min_mass: Annotated[float, Field(ge=0, le=1)] = 0.1
    tokens_per_batch: Count = 8192

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(self.path, self.revision, self.weights_sha256, owner="negatives.judge")

    @cached_property
    def _identity(self) -> dict[str, str]:
        template = self._checkpoint.folder / "chat_template.jinja"
        return self._checkpoint.identity() | ({"template": file_digest(template)} if template.is_file() else {})

    @property
    def packages(self) -> Sequence[str]:
        """The runner of the model."""
        return ("torch", "transformers", "tokenizers")

    @property
    def uses(self) -> Resource:
        """The device of the model."""
        return "gpu"

    @property
    def name(self) -> str:
        """The model behind the scores."""
        return f"causal_lm: {Path(self.path).name}"

    def fingerprint(self) -> dict[str, Any]:
        """Return the content of model and prompt, and all else that a probability depends on; not the device or batch
        size.

        Raises SigjepaError when there is no model at `path`.
        """
        return {
            "judge": "causal_lm",
            "version": VERSION,
            "model": Path(self.path).name,
            **self._identity,
            **self.prompt_inputs(),
            "dtype": self.dtype,
            "max_tokens": self.max_tokens,
            "min_mass": self.min_mass,
        }

    def cost(self, requests: Iterable[JudgeRequest]) -> str:
        """Return the estimated tokens and the size of a batch."""
        return f"{self.prompt_cost(requests)} and no completion tokens, {self.tokens_per_batch:,} in a batch"

    def judge(self, requests: Iterable[JudgeRequest]) -> Iterator[tuple[JudgeRequest, Judgement]]:
        """Yield one judgement per request, those of like length together.

        Raises SigjepaError for a model that can't be used, see `ScoringModel`.
        """
        model = ScoringModel(
            self._checkpoint,
            getattr(torch, self.dtype),
            self.device,
            self._prompt,
            self.max_tokens,
            self.max_code_characters,
        )
        waiting = iter(requests)
        while together := list(islice(waiting, SORTED_TOGETHER)):
            sequences = model.tokenize(together)
            for rows in token_budget_batches(sequences.lengths, self.tokens_per_batch):
                probabilities, mass = model.distributions(sequences, rows)
                for row, distribution, share in zip(rows, probabilities.tolist(), mass.tolist(), strict=True):
                    tokens = int(sequences.lengths[row])
                    yield together[row], self._judgement(distribution, share, tokens)

    def _judgement(self, probabilities: list[float], mass: float, tokens: int) -> Judgement:
        probabilities = [round(value, DECIMALS) for value in probabilities]
        score = max(
            range(len(probabilities)), key=probabilities.__getitem__
        )  # the first, so the lowest, of the highest
        shown = ", ".join(f"{score} {value:.2f}" for score, value in enumerate(probabilities))
        details = {"probabilities": probabilities, "mass": round(mass, DECIMALS), "prompt_tokens": tokens}
        if mass < self.min_mass:
            return Judgement(None, f"parse_error: the four scores have less than min_mass={self.min_mass}", details)
        return Judgement(score, f"probabilities {shown}", details)
