"""Batches by id: memory-mapped token states, padded, with the hard negatives of their anchors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sigjepa.data.batch import Batch, Negatives
from sigjepa.negatives.index import HardNegatives
from sigjepa.teacher.shards import TeacherShards


def share_identical_bodies(bodies: Sequence[str], body_pooled: Tensor) -> Tensor:
    """Give byte-identical bodies one and the same target, `[n, D]`: the first one's.

    A teacher's last bits depend on how a batch was padded; with this, equal bodies are exactly equal rows, so false
    negatives can be masked and ties ranked by equality.
    """
    first: dict[str, int] = {}
    owners = [first.setdefault(body, position) for position, body in enumerate(bodies)]
    return body_pooled[torch.tensor(owners, dtype=torch.long)]


def pad_states(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Right-pad token states `B × [S_i, D]` to `[B, S, D]` and return them with their mask `[B, S]`."""
    lengths = torch.tensor([len(rows) for rows in states])
    padded = torch.nn.utils.rnn.pad_sequence(list(states), batch_first=True)
    return padded, torch.arange(padded.shape[1]) < lengths[:, None]


class FunctionBatches(Dataset[Batch]):
    """Serves a `Batch` for a list of function ids.

    body_pooled: `[n, D]` targets by function id. body_states: whether batches carry the body's token states;
    max_body_states: at most this many of each body, from its start; None is all of them.
    negatives_per_anchor: at most this many hard negatives of each anchor, nearest first.
    """

    def __init__(
        self,
        shards: TeacherShards,
        body_pooled: Tensor,
        hard_negatives: HardNegatives | None = None,
        negatives_per_anchor: int = 8,
        body_states: bool = False,
        max_body_states: int | None = None,
    ) -> None:
        self.shards = shards
        self.body_pooled = body_pooled
        self.hard_negatives = hard_negatives
        self.negatives_per_anchor = negatives_per_anchor
        self.body_states = body_states
        self.max_body_states = max_body_states

    def __getitem__(self, ids: Sequence[int]) -> Batch:
        """The batch of `ids`, in their order."""
        signature_states, signature_mask = pad_states([self.shards.signature_states(int(i)) for i in ids])
        batch = Batch(
            ids=torch.as_tensor(np.asarray(ids, dtype=np.int64)),
            signature_states=signature_states,
            signature_mask=signature_mask,
            body_pooled=self.body_pooled[torch.as_tensor(np.asarray(ids, dtype=np.int64))],
        )
        if self.body_states:
            batch.body_states, batch.body_mask = pad_states(
                [self.shards.body_states(int(i))[: self.max_body_states] for i in ids]
            )
        if self.hard_negatives is not None:
            batch.negatives = self._negatives(ids, self.hard_negatives)
            batch.related_ids = _related_ids(ids, self.hard_negatives)
        return batch

    def _negatives(self, ids: Sequence[int], hard_negatives: HardNegatives) -> Negatives:
        rows = [hard_negatives.negatives_of(int(i), limit=self.negatives_per_anchor) for i in ids]
        unique = np.unique(np.concatenate([row.ids for row in rows])).astype(np.int64)
        scores = np.full((len(ids), len(unique)), -1, dtype=np.int8)
        for anchor, row in enumerate(rows):
            scores[anchor, np.searchsorted(unique, row.ids)] = row.scores
        negative_ids = torch.from_numpy(unique)
        return Negatives(ids=negative_ids, embeddings=self.body_pooled[negative_ids], scores=torch.from_numpy(scores))


def _related_ids(ids: Sequence[int], hard_negatives: HardNegatives) -> Tensor:
    related = [torch.as_tensor(hard_negatives.related_to(int(i)), dtype=torch.long) for i in ids]
    return torch.nn.utils.rnn.pad_sequence(related, batch_first=True, padding_value=-1)
