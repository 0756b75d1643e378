"""Batches by id: memory-mapped token states, padded, with the hard negatives of their anchors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sigjepa.data.batch import Batch, NegativeBatch, pad_states
from sigjepa.data.resident import ResidentData
from sigjepa.data.sampler import BatchIndices
from sigjepa.data.targets import Targets
from sigjepa.data.terms import TermTensors
from sigjepa.negatives.index.hard_negatives import RELATED_FROM, HardNegatives
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.teacher.shards import TeacherShards

RANDOM_STREAM = 2
"""Of the random numbers of a step; the sampler of hard negatives draws from 0 and 1."""


class FunctionDataset(Dataset[Batch]):
    """Serves the `Batch` of a request.

    body_pooled: `[n, D]` targets by function id. hard_negatives: None serves batches without. sampler: which of its
    hard negatives an anchor brings. body_states: whether batches carry the body's token states; max_body_states: at
    most this many of each body, from its start; None is all of them. terms: of all functions; None serves batches
    without. random_bodies: how many bodies of `random_ids` a batch brings as candidates for all its anchors. resident:
    token states and targets on a device, where batches are then made; None makes them on the host.
    """

    def __init__(
        self,
        shards: TeacherShards,
        body_pooled: Tensor | Targets,
        hard_negatives: HardNegatives | None = None,
        sampler: NegativeSampler | None = None,
        body_states: bool = False,
        max_body_states: int | None = None,
        terms: TermTensors | None = None,
        random_bodies: int = 0,
        random_ids: np.ndarray | None = None,
        resident: ResidentData | None = None,
    ) -> None:
        self.shards = shards
        self.resident = resident
        self.body_pooled = body_pooled if resident is None else resident.targets
        self.hard_negatives = hard_negatives
        self.sampler = sampler if sampler is not None else NegativeSampler()
        self.body_states = body_states
        self.max_body_states = max_body_states
        self.terms = terms
        self.random_bodies = random_bodies
        self.random_ids = random_ids

    def __getitem__(self, request: BatchIndices) -> Batch:
        """Return the batch of the request's ids, in their order."""
        ids = request.ids
        rows = self._tensor(np.asarray(ids, dtype=np.int64))
        if self.resident is None:
            signature_states, signature_mask = pad_states([self.shards.signature_states(int(i)) for i in ids])
        else:
            signature_states, signature_mask = self.resident.signatures.padded(ids, rows)
        batch = Batch(
            ids=rows,
            signature_states=signature_states,
            signature_mask=signature_mask,
            body_pooled=self.body_pooled[rows],
        )
        if self.terms is not None:
            batch.signature_pooled = self.shards.pooled("signature", ids)
            batch.signature_terms = self.terms.of_signatures(rows)
            batch.body_terms = self.terms.of_bodies(rows)
        if self.random_ids is not None and self.random_bodies:
            batch.random = self._random(request, self.random_ids)
        if self.resident is not None and self.resident.bodies is not None and self.body_states:
            batch.body_states, batch.body_mask = self.resident.bodies.padded(ids, rows)
        elif self.body_states:
            batch.body_states, batch.body_mask = pad_states(
                [self.shards.body_states(int(i))[: self.max_body_states] for i in ids]
            )
        if self.hard_negatives is not None:
            batch.negatives = self._negatives(request, self.hard_negatives)
            batch.related_ids = self._tensor(self.hard_negatives.related.padded(ids, -1))
            if self.sampler.related:
                batch.related = self._related(request, self.hard_negatives)
        return batch

    def _negatives(self, request: BatchIndices, hard_negatives: HardNegatives) -> NegativeBatch:
        sampled = [
            self.sampler.negatives(negatives, anchor, request.step, request.epoch)
            for anchor, negatives in zip(
                request.ids.tolist(), hard_negatives.negatives_of_each(request.ids), strict=True
            )
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
        unique, columns = np.unique(np.concatenate(ids).astype(np.int64), return_inverse=True)
        by_row = np.full((len(ids), len(unique)), -1, dtype=np.int8)
        by_row[np.repeat(np.arange(len(ids)), [len(row) for row in ids]), columns] = np.concatenate(scores)
        return self._bodies(unique, by_row)

    def _random(self, request: BatchIndices, ids: np.ndarray) -> NegativeBatch:
        """Return random bodies from outside of the batch, the same in a resumed run."""
        generator = np.random.default_rng([self.sampler.seed, request.step, int(request.ids[0]), RANDOM_STREAM])
        number = min(len(ids), self.random_bodies + len(request.ids))
        drawn = generator.choice(ids, number, replace=False)
        outside = np.sort(drawn[~np.isin(drawn, request.ids)][: self.random_bodies])
        return self._bodies(outside, np.full((len(request.ids), len(outside)), -1, np.int8))

    def _bodies(self, ids: np.ndarray, scores: np.ndarray) -> NegativeBatch:
        rows = self._tensor(ids.astype(np.int64))
        terms = None if self.terms is None else self.terms.of_bodies(rows)
        return NegativeBatch(rows, self.body_pooled[rows], self._tensor(scores), terms)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values) if self.resident is None else self.resident.to_device(values)
