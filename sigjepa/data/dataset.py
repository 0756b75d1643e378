"""Batches by id: memory-mapped token states, padded, with the hard negatives of their anchors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sigjepa.data.batch import Batch, NegativeBatch
from sigjepa.data.sampler import BatchIndices
from sigjepa.negatives.index.hard_negatives import RELATED_FROM, HardNegatives
from sigjepa.negatives.index.sampling import NegativeSampler
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


class FunctionDataset(Dataset[Batch]):
    """Serves the `Batch` of a request.

    body_pooled: `[n, D]` targets by function id. hard_negatives: None serves batches without. sampler: which of its
    hard negatives an anchor brings. body_states: whether batches carry the body's token states; max_body_states: at
    most this many of each body, from its start; None is all of them.
    """

    def __init__(
        self,
        shards: TeacherShards,
        body_pooled: Tensor,
        hard_negatives: HardNegatives | None = None,
        sampler: NegativeSampler | None = None,
        body_states: bool = False,
        max_body_states: int | None = None,
    ) -> None:
        self.shards = shards
        self.body_pooled = body_pooled
        self.hard_negatives = hard_negatives
        self.sampler = sampler if sampler is not None else NegativeSampler()
        self.body_states = body_states
        self.max_body_states = max_body_states

    def __getitem__(self, request: BatchIndices) -> Batch:
        """Return the batch of the request's ids, in their order."""
        ids = request.ids
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
            batch.negatives = self._negatives(request, self.hard_negatives)
            batch.related_ids = _related_ids(ids, self.hard_negatives)
            if self.sampler.related:
                batch.related = self._related(request, self.hard_negatives)
        return batch

    def _negatives(self, request: BatchIndices, hard_negatives: HardNegatives) -> NegativeBatch:
        sampled = [
            self.sampler.negatives(hard_negatives.negatives_of(anchor), anchor, request.step, request.epoch)
            for anchor in map(int, request.ids)
        ]
        return self._rows([negatives.ids for negatives in sampled], [negatives.scores for negatives in sampled])

    def _related(self, request: BatchIndices, hard_negatives: HardNegatives) -> NegativeBatch:
        sampled = [
            self.sampler.related_of(hard_negatives.related_to(anchor), anchor, request.step)
            for anchor in map(int, request.ids)
        ]
        return self._rows(sampled, [np.full(len(ids), RELATED_FROM, np.int8) for ids in sampled])

    def _rows(self, ids: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> NegativeBatch:
        """Return the rows that each anchor brings, `B × [N_i]`, made unique."""
        unique = np.unique(np.concatenate(ids)).astype(np.int64)
        by_row = np.full((len(ids), len(unique)), -1, dtype=np.int8)
        for anchor, (own, own_scores) in enumerate(zip(ids, scores, strict=True)):
            by_row[anchor, np.searchsorted(unique, own)] = own_scores
        row_ids = torch.from_numpy(unique)
        return NegativeBatch(ids=row_ids, embeddings=self.body_pooled[row_ids], scores=torch.from_numpy(by_row))


def _related_ids(ids: np.ndarray, hard_negatives: HardNegatives) -> Tensor:
    related = [torch.as_tensor(hard_negatives.related_to(int(i)), dtype=torch.long) for i in ids]
    return torch.nn.utils.rnn.pad_sequence(related, batch_first=True, padding_value=-1)
