"""The candidates in an anchor's softmax: its own body, the other bodies of the batch, and mined hard negatives."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sigjepa.data.batch import Batch, NegativeBatch
from sigjepa.data.views import Views, concatenate_views, pooled_views, take_views
from sigjepa.losses.distributed import gather_rows


@dataclass
class Candidates:
    """The candidates of a batch of anchors.

    ids: `[C]`, embeddings: `[C, D]`, in-batch rows first. labels: `[B]` column of each anchor's own body.
    excluded: `[B, C]` true where a candidate must not be a negative of the anchor. related: `[B, C]` true where it was
    judged related to the anchor (`score_c >= 2`), which is excluded, too. scores: `[B, C]` the judge's `score_c` where
    the pair was mined for the anchor, else -1. in_batch: how many of the C are in-batch or random; the rest are mined.
    views: of a student that has its own view of bodies; None scores by the cosine with `embeddings`.
    """

    ids: Tensor
    embeddings: Tensor
    labels: Tensor
    excluded: Tensor
    related: Tensor
    scores: Tensor
    in_batch: int
    views: Views | None = None

    def scored_views(self, number: int | None = None) -> Views:
        """Return the views of the first `number` candidates, None for all."""
        views = pooled_views(self.embeddings) if self.views is None else self.views
        if number is None or number == len(self.ids):
            return views
        return take_views(views, torch.arange(number, device=self.ids.device))


def in_batch_candidates(batch: Batch) -> Candidates:
    """Return every body of the global batch and the random ones it brings, false negatives excluded (Exp 1.4)."""
    ids, offset = gather_rows(batch.ids)
    embeddings, _ = gather_rows(batch.body_pooled)
    labels = offset + torch.arange(len(batch), device=ids.device)
    related = judged_related(batch, ids)
    excluded = _same_body(batch, ids, embeddings) | related
    excluded.scatter_(1, labels[:, None], False)
    scores = torch.full_like(excluded, -1, dtype=torch.int8)
    candidates = Candidates(ids, embeddings, labels, excluded, related, scores, len(ids), batch.body_views)
    if batch.random is None:
        return candidates
    candidates = _append_for_everyone(candidates, batch, batch.random)
    return replace(candidates, in_batch=len(candidates.ids))


def union_candidates(batch: Batch) -> Candidates:
    """Return in-batch bodies and, for every anchor, the union of the global batch's hard negatives (Exp 2.1)."""
    return _append_for_everyone(in_batch_candidates(batch), batch, _negatives(batch))


def per_anchor_candidates(batch: Batch) -> Candidates:
    """Return in-batch bodies and, for each anchor, only the hard negatives mined for it (`hardneg_curriculum`)."""
    negatives = _negatives(batch)
    return _append(in_batch_candidates(batch), batch, negatives, negatives.owners)


MINED_CANDIDATES = {"union": union_candidates, "per_anchor": per_anchor_candidates}
"""The candidate sets that `mined_candidates` names in configs."""


def with_related(candidates: Candidates, batch: Batch) -> Candidates:
    """Return `candidates` and the related bodies that anchors brought: negatives of nobody, `related` for their
    anchors.
    """
    if batch.related is None:
        return candidates
    nobody = torch.zeros_like(batch.related.owners)
    return _append(candidates, batch, batch.related, nobody)


def _negatives(batch: Batch) -> NegativeBatch:
    if batch.negatives is not None:
        return batch.negatives
    empty = torch.empty(0, dtype=torch.long, device=batch.ids.device)
    scores = torch.empty(len(batch), 0, dtype=torch.int8, device=batch.ids.device)
    views = None if batch.body_views is None else take_views(batch.body_views, empty)
    return NegativeBatch(empty, batch.body_pooled[:0], scores, views=views)


def _own_scores(negatives: NegativeBatch, ids: Tensor) -> Tensor:
    """Return `[B, C]` scores of this rank's anchors for the gathered `ids [C]`, -1 where the anchor did not bring the
    row.
    """
    if ids is negatives.ids:  # one process
        return negatives.scores
    same = (negatives.ids[:, None] == ids).to(torch.int8)  # each id once among this rank's rows
    return ((negatives.scores + 1).float() @ same.float()).to(torch.int8) - 1


def _append_for_everyone(candidates: Candidates, batch: Batch, brought: NegativeBatch) -> Candidates:
    """Append the rows that the ranks brought, admitted as negatives of every anchor."""
    ids, _ = gather_rows(brought.ids)
    embeddings, _ = gather_rows(brought.embeddings)
    everyone = torch.ones(len(batch), len(ids), dtype=torch.bool, device=ids.device)
    rows = NegativeBatch(ids, embeddings, _own_scores(brought, ids), views=brought.views)
    return _append(candidates, batch, rows, everyone)


def _append(candidates: Candidates, batch: Batch, rows: NegativeBatch, admitted: Tensor) -> Candidates:
    """Append `rows`, admitted `[B, M]` as negatives; a function that already stands in the set is left out."""
    earlier = torch.cat([candidates.ids, rows.ids])
    ascending, order = torch.sort(earlier, stable=True)
    again = torch.zeros(len(earlier), dtype=torch.bool, device=earlier.device)
    again[order[1:]] = ascending[1:] == ascending[:-1]
    repeated = again[len(candidates.ids) :]
    same, related = _same_body(batch, rows.ids, rows.embeddings), judged_related(batch, rows.ids)
    return Candidates(
        ids=earlier,
        embeddings=torch.cat([candidates.embeddings, rows.embeddings]),
        labels=candidates.labels,
        excluded=torch.cat([candidates.excluded, ~admitted | repeated | same | related], dim=1),
        related=torch.cat([candidates.related, related & ~repeated], dim=1),
        scores=torch.cat([candidates.scores, rows.scores], dim=1),
        in_batch=candidates.in_batch,
        views=None if candidates.views is None else concatenate_views([candidates.views, rows.views or {}]),
    )


def _same_body(batch: Batch, ids: Tensor, embeddings: Tensor) -> Tensor:
    """Return `[B, C]`: the anchor's own body or a byte-identical one."""
    same = batch.ids[:, None] == ids
    # targets are frozen, so equal bodies are equal rows
    on_cpu = ids.device.type == "cpu"  # on an accelerator, a list of pairs would be waited for
    return same | (equal_rows if on_cpu else equal_rows_by_distance)(batch.body_pooled, embeddings)


def equal_rows(rows: Tensor, others: Tensor) -> Tensor:
    """Return `[B, C]`, which rows `[B, D]` equal which others `[C, D]`; the first coordinate rules out most cheaply."""
    equal = torch.zeros(len(rows), len(others), dtype=torch.bool, device=rows.device)
    row, other = torch.nonzero(rows[:, :1] == others[:, 0], as_tuple=True)
    equal[row, other] = (rows[row] == others[other]).all(dim=1)
    return equal


def equal_rows_by_distance(rows: Tensor, others: Tensor) -> Tensor:
    """Return what `equal_rows` returns: where the largest difference of a coordinate is 0."""
    return torch.cdist(rows, others, p=torch.inf) == 0


def judged_related(batch: Batch, ids: Tensor) -> Tensor:
    """Return `[B, C]`: judged related to the anchor (`score_c >= 2`)."""
    found = torch.zeros(len(batch), len(ids) + 1, dtype=torch.bool, device=ids.device)
    if batch.related_ids is None or not len(ids):
        return found[:, :-1]
    # looked up, not compared: the longest list of related bodies grows with the corpus, and each pair would be a cell
    ascending = ids.sort().values
    places = torch.searchsorted(ascending, batch.related_ids)
    among = ascending[places.clamp(max=len(ids) - 1)] == batch.related_ids
    found.scatter_(1, torch.where(among, places, len(ids)), True)  # the last column is for those that are not among
    return found[:, torch.searchsorted(ascending, ids)]
