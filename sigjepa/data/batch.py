"""The record that passes from data to models and losses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from sigjepa.data.views import TermRows, Views

Terms: TypeAlias = Mapping[str, TermRows]
"""Tables of some functions' terms by name."""


@dataclass
class NegativeBatch:
    """Bodies from outside of a batch that its anchors bring to it; each row appears once, whoever brought it.

    ids: `[M]` function ids. embeddings: `[M, D]` teacher body embeddings. scores: `[B, M]` the judge's `score_c` of
    each pair, -1 where the anchor did not bring the row. terms: tables of the bodies by name. views: of a student that
    has its own view of bodies.
    """

    ids: Tensor
    embeddings: Tensor
    scores: Tensor
    terms: Terms | None = None
    views: Views | None = None

    @property
    def owners(self) -> Tensor:
        """`[B, M]` bool: which anchor brought which row."""
        return self.scores >= 0


@dataclass
class Batch:
    """A batch of functions: what the student sees, what it must predict, and what it is told apart from.

    ids: `[B]`. signature_states: `[B, S, D]`, signature_mask: `[B, S]` (True = token). body_pooled: `[B, D]`.
    body_states: `[B, T, D]`, body_mask: `[B, T]`, both None unless asked for. negatives: hard negatives of the
    anchors. related_ids: `[B, R]` ids that the judge called related to the anchor (`score_c >= 2`), padded with -1:
    never to be used as its negatives. related: bodies of some of these, to be further positives. random: bodies drawn
    at random from train, which nobody brought: candidates for every anchor.
    signature_pooled: `[B, D]`. signature_terms, body_terms: tables of the lexicon's features by name, None unless asked
    for. body_views: what a student that has its own view of bodies makes of them.
    """

    ids: Tensor
    signature_states: Tensor
    signature_mask: Tensor
    body_pooled: Tensor
    body_states: Tensor | None = None
    body_mask: Tensor | None = None
    negatives: NegativeBatch | None = None
    related_ids: Tensor | None = None
    related: NegativeBatch | None = None
    random: NegativeBatch | None = None
    signature_pooled: Tensor | None = None
    signature_terms: Terms | None = None
    body_terms: Terms | None = None
    body_views: Views | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass  # not frozen: Lightning moves it to a device
class Halves:
    """Both halves of n functions.

    signature_pooled, body_pooled: `[n, D]` embeddings of the teacher. signature_terms, body_terms: tables of the
    lexicon.
    """

    signature_pooled: Tensor
    signature_terms: Terms
    body_pooled: Tensor
    body_terms: Terms


def pad_states(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Right-pad token states `B × [S_i, D]` to `[B, S, D]` and return them with their mask `[B, S]`."""
    lengths = torch.tensor([len(rows) for rows in states])
    padded = torch.nn.utils.rnn.pad_sequence(list(states), batch_first=True)
    return padded, torch.arange(padded.shape[1]) < lengths[:, None]
