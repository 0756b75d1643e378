"""A causal language model that is asked for one digit: its probabilities of `0` to `3` as a prompt's next token."""

import inspect
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jinja2 import TemplateError

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judges.judge import SCORES, JudgeRequest
from sigjepa.negatives.judging.judges.prompt import Messages, Prompt
from sigjepa.teacher.backbone import available_device, load_pretrained
from sigjepa.teacher.batching import PaddedBatch, TokenSequences, pad
from sigjepa.teacher.pretrained import Checkpoint

EMPTY = JudgeRequest(0, 1, "", "", 0.0, "", "", "", "")
WITHOUT_TEMPLATE = "{system}\n\n{user}\n\nScore:\n"
SUFFIXES = ("", "\n", " ")  # tried after the prompt, in this order, until each digit is one token there

Floats = npt.NDArray[np.float64]


class ScoringModel:
    """A frozen model on a device, with its prompt.

    Args:
        checkpoint: where the files are; code in them is never run.
        dtype: precision of the model.
        device: auto (CUDA when there is one), cpu, cuda, cuda:1, ...
        prompt: what is asked; the model's chat template goes around it where there is one.
        max_tokens: longest prompt; longer code is cut, by halves, until it fits.
        max_code_characters: most of a signature and of a body that is shown.

    Raises SigjepaError for a device or files that can't be used, a limit that is too high for the model or too low for
    the prompt, and a tokenizer that has no token of its own for each digit.
    """

    _suffix = ""
    _system_in_user = False

    def __init__(
        self,
        checkpoint: Checkpoint,
        dtype: torch.dtype,
        device: str,
        prompt: Prompt,
        max_tokens: int,
        max_code_characters: int,
    ) -> None:
        self.device = available_device(device, "negatives.judge")
        self.folder = checkpoint.folder
        tokenizer, model = load_pretrained(checkpoint, "AutoModelForCausalLM", dtype)
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        if positions and 0 < positions < max_tokens:
            raise SigjepaError(
                f"negatives.judge.max_tokens={max_tokens}, but the model in {self.folder} has {positions} positions; "
                "lower it."
            )
        self.model = model.requires_grad_(False).eval().to(self.device)
        self.prompt, self.max_tokens, self.max_code_characters = prompt, max_tokens, max_code_characters
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.no_truncation()
        self._accepted = inspect.signature(model.forward).parameters
        self._system_in_user = not self._takes_system()
        self._suffix, self.digits = self._find_digits()
        shortest = len(self._encode([self._text(EMPTY, 0)])[0])
        if shortest > max_tokens:
            raise SigjepaError(
                f"negatives.judge.max_tokens={max_tokens} leaves no room for code: the prompt alone has {shortest} "
                "tokens."
            )

    def tokenize(self, requests: Sequence[JudgeRequest]) -> TokenSequences:
        """Return the prompts of `requests` as tokens, each within the limit."""
        tokens = self._encode([self._text(request, self.max_code_characters) for request in requests])
        cut = 0
        for row, request in enumerate(requests):
            characters = self.max_code_characters
            while len(tokens[row]) > self.max_tokens and characters:
                characters //= 2
                (tokens[row],) = self._encode([self._text(request, characters)])
            if len(tokens[row]) > self.max_tokens:
                raise SigjepaError(
                    f"negatives.judge.max_tokens={self.max_tokens} leaves no room for code; raise it by a few."
                )
            cut += characters < self.max_code_characters
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        flat = np.fromiter(chain.from_iterable(tokens), np.int64, int(lengths.sum()))
        return TokenSequences(flat, np.ones(len(flat), dtype=bool), np.concatenate(([0], np.cumsum(lengths))), cut)

    def distributions(self, sequences: TokenSequences, rows: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return for the prompts `rows` `[B]`, in one pass: the scores' probabilities among themselves `[B, 4]`, and
        how much of the next token's probability the four have together `[B]`.

        Raises SigjepaError when the batch does not fit the device's memory or the model gives no numbers.
        """
        # padded on the left, so that every prompt's last token is in the last column
        batch = pad(sequences, rows, "left", self._tokenizer.pad_token_id or 0)
        try:
            logits = self._last_logits(batch)
        except torch.OutOfMemoryError as error:
            raise SigjepaError(
                f"A batch of {len(rows)} prompts does not fit in {self.device}; lower negatives.judge.tokens_per_batch "
                "or choose negatives.judge.dtype=bfloat16."
            ) from error
        scores = logits[:, torch.tensor(self.digits)]
        if not scores.isfinite().all():
            raise SigjepaError(
                f"The model in {self.folder} gave logits that are not finite; set negatives.judge.dtype=float32."
            )
        mass = (scores.logsumexp(dim=1) - logits.logsumexp(dim=1)).exp()
        return scores.softmax(dim=1).numpy(), mass.numpy()

    @torch.inference_mode()
    def _last_logits(self, batch: PaddedBatch) -> torch.Tensor:
        """Return the logits of the token after each prompt `[B, V]`, on the CPU in float64."""
        arguments: dict[str, Any] = {"input_ids": batch.tokens, "attention_mask": batch.mask}
        if "position_ids" in self._accepted:
            arguments["position_ids"] = batch.positions
        tensors = {
            name: torch.from_numpy(np.ascontiguousarray(value)).to(self.device) for name, value in arguments.items()
        }
        options: dict[str, Any] = {"use_cache": False} if "use_cache" in self._accepted else {}
        if "logits_to_keep" in self._accepted:  # of the last column alone: the others would be the most of the memory
            options["logits_to_keep"] = 1
        return self.model(**tensors, **options).logits[:, -1].cpu().double()

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _text(self, request: JudgeRequest, characters: int) -> str:
        messages = self.prompt.messages(request, characters)
        if self._tokenizer.chat_template is None:
            system, user = (message["content"] for message in messages)
            text = WITHOUT_TEMPLATE.format(system=system, user=user)
            return f"{self._tokenizer.bos_token or ''}{text}{self._suffix}"
        if self._system_in_user:
            messages = [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]
        return self._template(messages) + self._suffix

    def _template(self, messages: Messages) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,  # the next token is to be the answer; templates that do not think ignore it
            )
        )

    def _takes_system(self) -> bool:
        """Return whether the chat template, if there is one, has a place for a system message."""
        if self._tokenizer.chat_template is None:
            return True
        try:
            return self.prompt.system in self._template(self.prompt.messages(EMPTY, 0))
        except TemplateError:
            return False

    def _find_digits(self) -> tuple[str, list[int]]:
        """Return what to add to a prompt, and the token of each score after it."""
        for suffix in SUFFIXES:
            text = self._text(EMPTY, 0) + suffix
            prompt, *answered = self._encode([text, *(f"{text}{score}" for score in SCORES)])
            digits = [tokens[-1] for tokens in answered]
            single = all(tokens[:-1] == prompt for tokens in answered)
            if single and len(set(digits)) == len(SCORES) and self._tokenizer.unk_token_id not in digits:
                return suffix, digits
        raise SigjepaError(
            f"negatives.judge.path={self.folder}: its tokenizer has no single token for each of the scores 0, 1, 2 and "
            "3 after the prompt, so they can't be compared. Choose another model, or serve this one and use "
            "negatives/judge=openai."
        )
