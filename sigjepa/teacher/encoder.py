"""A frozen pretrained language model that turns texts into token states and mean-pooled vectors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.runtime.instantiate import check_counts
from sigjepa.store.stage import check_label
from sigjepa.teacher.backbone import Network, state_size
from sigjepa.teacher.batching import PaddingSide, pad, token_budget_batches
from sigjepa.teacher.pretrained import Checkpoint

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Encoded:
    """The states of n texts.

    Attributes:
        pooled: mean of each text's kept token states `[n, D]`, float32; zero for a text without tokens.
        states: kept token states of all texts, one text after the other `[ΣS, D]`, or None when not asked for.
        offsets: text i is `states[offsets[i]:offsets[i + 1]]`; int64 `[n + 1]`.
        truncated: how many texts were cut at the length limit.
    """

    pooled: Tensor
    states: Tensor | None
    offsets: Tensor
    truncated: int


class FrozenTeacher:
    """Encodes texts with a pretrained Hugging Face encoder or decoder that is never trained.

    Constructing it is free: files are looked at for `fingerprint()` and read on the first `encode`.

    Args:
        name: short name, used for artifact folders; without a slash.
        path: local directory, `package://<package>/<folder>`, or Hub id. Code in a checkpoint is never run.
        pool_special_tokens: whether tokens that the tokenizer adds ([CLS], BOS, ...) are kept and pooled; the model
            sees them either way.
        max_signature_tokens: length limit of a signature, special tokens included.
        max_body_tokens: length limit of a body, special tokens included.
        tokens_per_batch: tokens in a batch, padding included.
        revision: commit of a Hub id.
        weights_sha256: expected digest of `model.safetensors`.
        dim: size D of a state; None reads it from the model's config.json.
        layer: which hidden states: -1 the last, after the final norm; 0 the input embeddings.
        dtype: precision of the model: float32, bfloat16 or float16.
        storage_dtype: precision of the states that `encode` returns.
        padding_side: left or right; None leaves it to the tokenizer. The states do not depend on it.
        device: auto (CUDA when there is one), cpu, cuda, cuda:1, ...
        hard_negative_min_cosim: cosine from which two bodies are near in its space; what hard negatives are mined from.

    Raises SigjepaError for an argument that is not one of the above.
    """

    def __init__(
        self,
        name: str,
        path: str,
        *,
        pool_special_tokens: bool,
        max_signature_tokens: int,
        max_body_tokens: int,
        tokens_per_batch: int,
        revision: str | None = None,
        weights_sha256: str | None = None,
        dim: int | None = None,
        layer: int = -1,
        dtype: str = "float32",
        storage_dtype: str = "float16",
        padding_side: PaddingSide | None = None,
        device: str = "auto",
        hard_negative_min_cosim: float = 0.80,
    ) -> None:
        if padding_side not in (None, *get_args(PaddingSide)):
            raise SigjepaError(f"teacher.padding_side={padding_side} must be left, right or null (the tokenizer's).")
        check_label("teacher.name", str(name))
        counts = {
            "teacher.max_signature_tokens": max_signature_tokens,
            "teacher.max_body_tokens": max_body_tokens,
            "teacher.tokens_per_batch": tokens_per_batch,
        }
        check_counts(counts, list(counts))
        if dim is not None and (not isinstance(dim, int) or dim < 1):
            raise SigjepaError(f"teacher.dim={dim} must be a whole number, at least 1, or null to read config.json.")
        if not isinstance(layer, int) or isinstance(layer, bool):
            raise SigjepaError(f"teacher.layer={layer} must be a whole number, such as -1 for the last layer.")
        if not isinstance(pool_special_tokens, bool):
            raise SigjepaError(f"teacher.pool_special_tokens={pool_special_tokens} must be true or false.")
        self.name = name
        self.checkpoint = Checkpoint(path, revision, weights_sha256)
        self.pool_special_tokens = pool_special_tokens
        self.max_signature_tokens = max_signature_tokens
        self.max_body_tokens = max_body_tokens
        self.tokens_per_batch = tokens_per_batch
        self.layer = layer
        self.dtype = _known_dtype("dtype", dtype)
        self.storage_dtype = _known_dtype("storage_dtype", storage_dtype)
        self.padding_side = padding_side
        self.device = device
        self.hard_negative_min_cosim = hard_negative_min_cosim
        self._dim = dim

    @cached_property
    def dim(self) -> int:
        """Size D of a state; read from the model's config.json (not from its weights) when it was not given."""
        if self._dim is not None:
            return self._dim
        return state_size(self.checkpoint.folder)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the loaded model out: each process reads its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_network"}

    def fingerprint(self) -> dict[str, Any]:
        """Return everything the states depend on, as JSON; batch size and device are not among it."""
        return {
            **self._identity,
            "layer": self.layer,
            "pooling": "mean",
            "pool_special_tokens": self.pool_special_tokens,
            "padding_side": self.padding_side,
            "dtype": _dtype_name(self.dtype),
            "storage_dtype": _dtype_name(self.storage_dtype),
            "max_signature_tokens": self.max_signature_tokens,
            "max_body_tokens": self.max_body_tokens,
        }

    def encode(
        self,
        texts: Sequence[str],
        max_tokens: int,
        *,
        keep_states: bool = True,
        tokens_per_batch: int | None = None,
        advance: Callable[[int], object] | None = None,
    ) -> Encoded:
        """Encode each text by itself: no text ever attends to another.

        Args:
            texts: n texts; one longer than `max_tokens` is cut and counted.
            max_tokens: length limit, special tokens included.
            keep_states: whether token states are returned beside the pooled vectors.
            tokens_per_batch: instead of the teacher's own; the last bits of a state depend on its batch.
            advance: called with the number of texts done after each batch (for a progress bar).

        Raises SigjepaError when the model cannot be loaded, when `max_tokens` leaves no room beside the special
        tokens, when states are not finite or do not fit `storage_dtype`, and as `check_texts` does.
        """
        check_texts(texts, "text")
        network = self._network
        sequences = network.tokenize(texts, max_tokens, keep_special=self.pool_special_tokens)
        kept_before = np.concatenate(([0], np.cumsum(sequences.kept)))  # rows of states before each token
        pooled = torch.zeros(len(texts), self.dim)
        states = torch.empty(int(kept_before[-1]), self.dim, dtype=self.storage_dtype) if keep_states else None
        done = 0
        for batch_texts in token_budget_batches(sequences.lengths, tokens_per_batch or self.tokens_per_batch):
            batch = pad(sequences, batch_texts, network.padding_side, network.pad_token)
            kept = network.kept_states(batch, self.layer)
            sums = torch.segment_reduce(kept.float(), "sum", lengths=network.tensor(batch.kept_lengths))
            counts = network.tensor(batch.kept_lengths).clamp(min=1)
            pooled[torch.from_numpy(batch_texts)] = (sums / counts[:, None]).cpu()
            if states is not None:
                self._check_range(kept)
                states[torch.from_numpy(kept_before[batch.kept_tokens])] = kept.to(self.storage_dtype).cpu()
            done += len(batch_texts)
            if advance is not None:
                advance(len(batch_texts))
        if advance is not None and done < len(texts):
            advance(len(texts) - done)  # the empty ones
        if not pooled.isfinite().all():
            raise SigjepaError(
                f"Teacher {self.name} gave states that are not finite at layer {self.layer} in "
                f"{_dtype_name(self.dtype)}; set teacher.dtype=float32."
            )
        offsets = torch.from_numpy(kept_before[sequences.offsets].astype(np.int64))
        return Encoded(pooled, states, offsets, sequences.truncated)

    @cached_property
    def _identity(self) -> dict[str, str]:
        return self.checkpoint.identity()

    @cached_property
    def _network(self) -> Network:
        network = Network(self.checkpoint, self.dtype, self.padding_side, self.device)
        longest = max(self.max_signature_tokens, self.max_body_tokens)
        if network.max_positions is not None and longest > network.max_positions:
            raise SigjepaError(
                f"teacher.max_signature_tokens={self.max_signature_tokens}, "
                f"teacher.max_body_tokens={self.max_body_tokens}, but the model has {network.max_positions} positions; "
                "lower the limit."
            )
        size = network.try_out(self.layer, longest)
        if self.dim != size:
            raise SigjepaError(
                f"teacher.dim={self.dim}, but the model in {self.checkpoint.path} has states of size {size}; "
                f"set teacher.dim={size}."
            )
        return network

    def _check_range(self, states: Tensor) -> None:
        """`states` `[ΣS, D]` must survive the cast to storage: float16 ends at 65504, some layers' outliers do not."""
        largest = float(torch.stack(torch.aminmax(states)).abs().max()) if states.numel() else 0.0
        if largest > torch.finfo(self.storage_dtype).max:
            raise SigjepaError(
                f"Teacher {self.name}: a state of size {largest:g} at layer {self.layer} does not fit "
                f"{_dtype_name(self.storage_dtype)}; set teacher.storage_dtype=bfloat16."
            )


def check_texts(texts: Sequence[str], name: str) -> None:
    """Raise SigjepaError for one text in the place of a list, and for what is no text that UTF-8 can hold.

    name: what a text is called.
    """
    if isinstance(texts, str):
        raise SigjepaError(f"{texts[:80]!r} is one {name}, and a list of them is needed: write [{name}].")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise SigjepaError(f"{name.capitalize()} {number} is of type {type(text).__name__}; give a str.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise SigjepaError(
                f"{name.capitalize()} {number} has half a surrogate pair at letter {error.start}, which UTF-8 can't "
                "hold; replace or remove it."
            ) from None


def _known_dtype(key: str, name: str) -> torch.dtype:
    if name not in DTYPES:
        raise SigjepaError(f"teacher.{key}={name} must be one of {', '.join(DTYPES)}.{nearest_name(name, DTYPES)}")
    return DTYPES[name]


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
