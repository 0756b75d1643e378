"""Who stands in an anchor's softmax: its own body, the other bodies of the batch, and mined hard negatives."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sigjepa.data.batch import Batch, Negatives
from sigjepa.losses.gather import gather_rows


@dataclass
class Candidates:
    """The candidates of a batch of anchors.

    ids: `[C]`, embeddings: `[C, D]`, in-batch rows first. labels: `[B]` column of each anchor's own body.
    excluded: `[B, C]` true where a candidate must not enter the anchor's softmax. in_batch: how many of the C are
    in-batch; the rest are mined.
    """

    ids: Tensor
    embeddings: Tensor
    labels: Tensor
    excluded: Tensor
    in_batch: int


def in_batch_candidates(batch: Batch) -> Candidates:
    """Every body of the global batch, false negatives excluded (Exp 1.4)."""
    ids, offset = gather_rows(batch.ids)
    embeddings, _ = gather_rows(batch.body_pooled)
    labels = offset + torch.arange(len(batch), device=ids.device)
    excluded = _false_negatives(batch, ids, embeddings)
    excluded[torch.arange(len(batch), device=ids.device), labels] = False
    return Candidates(ids, embeddings, labels, excluded, in_batch=len(ids))


def union_candidates(batch: Batch) -> Candidates:
    """In-batch bodies and, for every anchor, the union of the global batch's hard negatives (Exp 2.1)."""
    negatives = _negatives(batch)
    ids, _ = gather_rows(negatives.ids)
    embeddings, _ = gather_rows(negatives.embeddings)
    everyone = torch.ones(len(batch), len(ids), dtype=torch.bool, device=ids.device)
    return _append_mined(in_batch_candidates(batch), batch, ids, embeddings, everyone)


def per_anchor_candidates(batch: Batch) -> Candidates:
    """In-batch bodies and, for each anchor, only the hard negatives mined for it (`hardneg_curriculum`)."""
    negatives = _negatives(batch)
    return _append_mined(in_batch_candidates(batch), batch, negatives.ids, negatives.embeddings, negatives.owners)


MINED_CANDIDATES = {"union": union_candidates, "per_anchor": per_anchor_candidates}
"""The candidate sets that `mined_candidates` names in configs."""


def _negatives(batch: Batch) -> Negatives:
    if batch.negatives is not None:
        return batch.negatives
    empty = torch.empty(0, dtype=torch.long, device=batch.ids.device)
    scores = torch.empty(len(batch), 0, dtype=torch.int8, device=batch.ids.device)
    return Negatives(empty, batch.body_pooled[:0], scores)


def _append_mined(in_batch: Candidates, batch: Batch, ids: Tensor, embeddings: Tensor, admitted: Tensor) -> Candidates:
    """Append mined rows `[M]`, `[M, D]`, admitted `[B, M]`; a function that already stands in the set is left out."""
    earlier = torch.cat([in_batch.ids, ids])
    position = torch.arange(len(earlier), device=ids.device)
    first_of_id = torch.where(earlier[None, :] == ids[:, None], position, len(earlier)).min(dim=1).values
    repeated = first_of_id < position[in_batch.in_batch :]
    excluded = ~admitted | repeated | _false_negatives(batch, ids, embeddings)
    return Candidates(
        ids=earlier,
        embeddings=torch.cat([in_batch.embeddings, embeddings]),
        labels=in_batch.labels,
        excluded=torch.cat([in_batch.excluded, excluded], dim=1),
        in_batch=in_batch.in_batch,
    )


def _false_negatives(batch: Batch, ids: Tensor, embeddings: Tensor) -> Tensor:
    """`[B, C]`: the anchor's own body, a byte-identical body, or one judged related to it (`score_c >= 2`)."""
    false_negatives = batch.ids[:, None] == ids
    # targets are frozen, so equal bodies are equal rows; the first coordinate rules out almost all pairs cheaply
    anchor, candidate = torch.nonzero(batch.body_pooled[:, :1] == embeddings[:, 0], as_tuple=True)
    false_negatives[anchor, candidate] |= (batch.body_pooled[anchor] == embeddings[candidate]).all(dim=1)
    if batch.related_ids is not None:
        false_negatives |= (batch.related_ids[:, :, None] == ids).any(dim=1)
    return false_negatives
