"""A judge that reads a local language model's probabilities of the four scores: nothing is generated or parsed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.negatives.judging.judges.judge import Judge, Judgement, JudgeRequest
from sigjepa.negatives.judging.judges.prompt import CHARACTERS_PER_TOKEN, Prompt, estimated_tokens, load_prompt
from sigjepa.negatives.judging.judges.scoring_model import ScoringModel
from sigjepa.store.files import file_digest
from sigjepa.teacher.batching import token_budget_batches
from sigjepa.teacher.pretrained import Checkpoint

VERSION = 1  # raise it when the same pair may get another score

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DECIMALS = 6  # of a probability; what float32 gives alike in every batch
SORTED_TOGETHER = 2048  # requests whose prompts share batches by length


@dataclass(frozen=True)
class CausalLmJudge(Judge):
    """Scores a pair by the likeliest of the four scores as a causal model's next token; the lower one at a tie.

    In float32 a pair's probabilities do not depend on what else is in its batch; half precisions round by batch.

    Args:
        path: local directory, `package://<package>/<folder>`, or Hub id. Code in a checkpoint is never run.
        revision: commit of a Hub id.
        weights_sha256: expected digest of `model.safetensors`.
        dtype: precision of the model: float32, bfloat16 or float16.
        device: auto (CUDA when there is one), cpu, cuda, cuda:1, ...
        prompt: name of a prompt file of this package, or a path ending in `.md`; it must ask for one digit.
        max_tokens: longest prompt in tokens; longer code is cut.
        max_code_characters: most of a signature and of a body that is shown.
        tokens_per_batch: tokens in a batch, padding included.
        limit: most pairs to be judged; None is all.

    Raises SigjepaError for an argument out of range and an unknown prompt.
    """

    path: str
    revision: str | None = None
    weights_sha256: str | None = None
    dtype: str = "float32"
    device: str = "auto"
    prompt: str = "score_c_digit_v1"
    max_tokens: int = 2048
    max_code_characters: int = 4000
    tokens_per_batch: int = 8192
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise SigjepaError(
                f"negatives.judge.dtype={self.dtype} must be one of {', '.join(DTYPES)}."
                f"{nearest_name(self.dtype, DTYPES)}"
            )
        for key in ("max_tokens", "max_code_characters", "tokens_per_batch", "limit"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise SigjepaError(f"negatives.judge.{key} must be at least 1, got {value}.")
        assert self._prompt.version  # read it now, so that an unknown one is told at once

    @cached_property
    def _prompt(self) -> Prompt:
        return load_prompt(self.prompt)

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
            "prompt_version": self._prompt.version,
            "prompt_digest": self._prompt.digest,
            "dtype": self.dtype,
            "max_tokens": self.max_tokens,
            "max_code_characters": self.max_code_characters,
        }

    def cost(self, requests: Sequence[JudgeRequest]) -> str:
        """Return the estimated tokens and the size of a batch."""
        prompts = estimated_tokens(self._prompt.messages(request, self.max_code_characters) for request in requests)
        return (
            f"about {prompts:,} prompt tokens (estimated at {CHARACTERS_PER_TOKEN} characters each) and no completion "
            f"tokens, {self.tokens_per_batch:,} in a batch"
        )

    def judge(self, requests: Iterable[JudgeRequest]) -> Iterator[tuple[JudgeRequest, Judgement]]:
        """Yield one judgement per request, those of like length together.

        Raises SigjepaError for a model that can't be used, see `ScoringModel`.
        """
        model = ScoringModel(
            *(self._checkpoint, DTYPES[self.dtype], self.device),
            *(self._prompt, self.max_tokens, self.max_code_characters),
        )
        waiting = iter(requests)
        while together := list(islice(waiting, SORTED_TOGETHER)):
            sequences = model.tokenize(together)
            for rows in token_budget_batches(sequences.lengths, self.tokens_per_batch):
                probabilities, mass = model.distributions(sequences, rows)
                for row, distribution, share in zip(rows, probabilities.tolist(), mass.tolist(), strict=True):
                    tokens = int(sequences.lengths[row])
                    yield together[row], _judgement([round(value, DECIMALS) for value in distribution], share, tokens)


def _judgement(probabilities: list[float], mass: float, tokens: int) -> Judgement:
    score = max(range(len(probabilities)), key=probabilities.__getitem__)  # the first, so the lowest, of the highest
    shown = ", ".join(f"{score} {value:.2f}" for score, value in enumerate(probabilities))
    details = {"probabilities": probabilities, "mass": round(mass, DECIMALS), "prompt_tokens": tokens}
    return Judgement(score, f"probabilities {shown}", details)
