"""Token sequences in flat arrays, and padded batches of them within a token budget."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

PaddingSide = Literal["left", "right"]


@dataclass(frozen=True)
class TokenSequences:
    """Tokens of n texts, one after the other.

    Attributes:
        tokens: token ids `[ΣT]`.
        kept: which tokens' states are kept and pooled `[ΣT]` (a special token may be seen but not kept).
        offsets: text i is `tokens[offsets[i]:offsets[i + 1]]`; `[n + 1]`.
        truncated: how many texts were cut at the length limit.
    """

    tokens: np.ndarray
    kept: np.ndarray
    offsets: np.ndarray
    truncated: int

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text `[n]`."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class PaddedBatch:
    """Some texts as one rectangle.

    Attributes:
        tokens: token ids `[B, S]`, the pad token where there is none.
        mask: 1 where there is a token `[B, S]`.
        positions: each token's position in its own text, whatever the padding side; 0 on padding `[B, S]`.
        kept: indices into the flattened `[B * S]` of the kept tokens, in order.
        kept_tokens: the same tokens as indices into the flat `TokenSequences.tokens`.
        kept_lengths: kept tokens of each text `[B]`.
    """

    tokens: np.ndarray
    mask: np.ndarray
    positions: np.ndarray
    kept: np.ndarray
    kept_tokens: np.ndarray
    kept_lengths: np.ndarray


def token_budget_batches(lengths: np.ndarray, tokens_per_batch: int) -> Iterator[np.ndarray]:
    """Yield the text indices in batches of at most `tokens_per_batch` padded tokens, longest text first.

    Neighbors in length share a batch, so little is padding; the largest batch comes first, so memory that does
    not suffice shows at once. A text longer than the budget is a batch of its own; an empty text is in no batch.
    """
    order = np.argsort(-lengths, kind="stable")
    order = order[: np.count_nonzero(lengths)]
    start = 0
    while start < len(order):
        size = max(1, tokens_per_batch // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size


def pad(sequences: TokenSequences, texts: np.ndarray, padding_side: PaddingSide, pad_token: int) -> PaddedBatch:
    """Return the rectangle of `texts` (indices `[B]`), padded on `padding_side`."""
    starts = sequences.offsets[texts][:, None]
    lengths = sequences.lengths[texts][:, None]
    longest = int(lengths.max())
    columns = np.arange(longest)[None, :]
    positions = (
        columns - (longest - lengths) if padding_side == "left" else np.broadcast_to(columns, (len(texts), longest))
    )
    mask = (positions >= 0) & (positions < lengths)
    source = np.where(mask, starts + positions, 0)
    kept = mask & sequences.kept[source]
    return PaddedBatch(
        tokens=np.where(mask, sequences.tokens[source], pad_token),
        mask=mask.astype(np.int64),
        positions=np.where(mask, positions, 0),
        kept=np.flatnonzero(kept),
        kept_tokens=source[kept],
        kept_lengths=kept.sum(axis=1),
    )
