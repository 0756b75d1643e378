"""InfoNCE with a learned temperature over in-batch and mined candidates."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sigjepa.data.batch import Batch
from sigjepa.data.views import score
from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.losses.candidates import MINED_CANDIDATES, Candidates, in_batch_candidates, with_related
from sigjepa.losses.distributed import gather_rows, sum_over_processes, world_size
from sigjepa.losses.loss import LossTerm, Progress, at_least_float32
from sigjepa.models.prediction import Prediction
from sigjepa.negatives.index.ramp import Schedule, beginning, check_extremes, value_at


def info_nce(
    scores: Tensor,
    labels: Tensor,
    inverse_temperature: Tensor,
    excluded: Tensor,
    log_weights: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy of each anchor's own body among its candidates, `[B]` (CPC,
    https://arxiv.org/abs/1807.03748).

    scores: `[B, C]` of anchors and candidates, of `scores_of`. labels: `[B]`. excluded: `[B, C]` candidates that get no
    softmax mass. log_weights: `[C]` or `[B, C]` added to the logits, so a candidate of weight w counts w times.
    Logits are at least fp32 whatever the inputs and autocast say.
    """
    with torch.autocast(scores.device.type, enabled=False):
        logits = scores * at_least_float32(inverse_temperature)
        if log_weights is not None:
            logits = logits + log_weights
        return F.cross_entropy(logits.masked_fill(excluded, -torch.inf), labels, reduction="none")


def multi_positive_info_nce(
    scores: Tensor,
    positives: Tensor,
    inverse_temperature: Tensor,
    excluded: Tensor,
    log_weights: Tensor | None = None,
) -> Tensor:
    """Return the mean over an anchor's positives of the cross-entropy of each among the negatives, `[B]`.

    A positive is never pushed away by another one: unlike in SupCon (https://arxiv.org/abs/2004.11362, eq. 2) the other
    positives stand in no denominator. With one positive it is `info_nce`. positives: `[B, C]`, at least one a row;
    excluded: `[B, C]` candidates that are no negatives; the rest as in `info_nce`.
    """
    with torch.autocast(scores.device.type, enabled=False):
        logits = scores * at_least_float32(inverse_temperature)
        weighted = logits if log_weights is None else logits + log_weights
        # the lowest finite number, not -inf: an anchor without negatives would have no gradient but NaN
        lowest = torch.finfo(logits.dtype).min
        negatives = weighted.masked_fill(excluded | positives, lowest).clamp(min=lowest).logsumexp(dim=1, keepdim=True)
        losses = torch.logaddexp(logits, negatives) - logits
        return (losses * positives).sum(dim=1) / positives.sum(dim=1)


def scores_of(prediction: Prediction, candidates: Candidates, number: int | None = None) -> Tensor:
    """Return the scores `[B, C]` of predictions and their first `number` candidates, None for all, at least fp32."""
    with torch.autocast(prediction.pooled.device.type, enabled=False):
        return score(prediction.scored_views(), candidates.scored_views(number))


RELATED = ("mask", "positive")
"""What a body judged related to an anchor is: a candidate for nobody, or a further right answer."""


class InfoNCE(nn.Module):
    """InfoNCE over the bodies of the batch (Exp 1.4) and, by name, mined hard negatives (Exp 2.1 and curriculum).

    mined_candidates: `none`, `union` (every anchor faces the batch's hard negatives) or `per_anchor` (its own only).
    schedule: weight of the mined candidates by epoch, a number or a ramp; at weight 0 the term is exactly Exp 1.4.
    score_weights: how often a hard negative of `score_c` 0 and of 1 counts in the softmax of the anchor it was mined
    for. related: `mask` takes bodies judged related (`score_c >= 2`) out of every candidate set; `positive` makes those
    of the batch, and those that `negatives.sampler.related` brings, further positives. temperature: where the learned
    temperature starts; kept in log space and within [min_temperature, max_temperature]. weight: share of this term in
    the loss.

    Under DDP the candidates of all ranks are gathered, without gradient since targets are frozen, and each rank's
    value is scaled so that DDP's mean over ranks is the single-process value and gradient on the global batch.
    """

    def __init__(
        self,
        mined_candidates: str = "none",
        schedule: Schedule = 1.0,
        score_weights: Sequence[float] = (1.0, 1.0),
        related: str = "mask",
        temperature: float = 0.07,
        min_temperature: float = 0.01,
        max_temperature: float = 1.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("mined_candidates", mined_candidates, ["none", *MINED_CANDIDATES]),
            ("related", related, list(RELATED)),
        ):
            if value not in known:
                raise SigjepaError(
                    f"infonce.{name} is '{value}'; use one of {', '.join(known)}.{nearest_name(value, known)}"
                )
        if not 0 < min_temperature <= temperature <= max_temperature:
            raise SigjepaError(
                f"temperature {temperature} is outside [{min_temperature}, {max_temperature}]; "
                "change temperature, min_temperature or max_temperature."
            )
        if len(score_weights) != 2 or not all(math.isfinite(value) and value >= 0 for value in score_weights):
            raise SigjepaError(
                f"infonce.score_weights is {list(score_weights)}; give two finite numbers of at least 0, for score_c 0 "
                "and 1."
            )
        self.mined_candidates = mined_candidates
        self.schedule = schedule
        check_extremes(self.schedule, "infonce.schedule", 0, 1e6)
        self.score_weights = tuple(score_weights)
        self.related = related
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.log_bounds = math.log(min_temperature), math.log(max_temperature)
        self.weight = weight

    @property
    def needs(self) -> Sequence[str]:
        """The data that the term cannot do without."""
        return ("other_bodies",) if self.mined_candidates == "none" else ("other_bodies", "hard_negatives")

    @property
    def begins(self) -> float:
        """The epoch from which on the term is what its settings promise: mined candidates count in it."""
        if self.mined_candidates == "none":
            return 0.0
        return beginning(self.schedule) if any(self.score_weights) else math.inf

    @property
    def capturable(self) -> bool:
        """Return whether a CUDA graph can hold the term: it reads no schedule, and its candidates are the batch's."""
        return self.mined_candidates == "none" and self.related == "mask"

    @property
    def temperature(self) -> Tensor:
        """The temperature in use, a scalar."""
        return self.log_temperature.clamp(*self.log_bounds).exp()

    def forward(self, prediction: Prediction, batch: Batch, progress: Progress) -> LossTerm:
        """Return the term on one batch; logs the temperature and, with mined candidates, what they added."""
        self.log_temperature.data.clamp_(*self.log_bounds)  # beyond a bound it has no gradient and would stay there
        mined_weight = value_at(self.schedule, progress.epoch) if self.mined_candidates != "none" else 0.0
        candidates = MINED_CANDIDATES[self.mined_candidates](batch) if mined_weight > 0 else in_batch_candidates(batch)
        log_weights = self._log_weights(candidates, mined_weight) if mined_weight > 0 else None
        scores = scores_of(prediction, candidates)
        own_losses = losses = info_nce(
            scores, candidates.labels, 1 / self.temperature, candidates.excluded, log_weights
        )
        if self.related == "positive":
            extended = with_related(candidates, batch)
            positives = extended.related.scatter(1, extended.labels[:, None], True)
            more = len(extended.ids) - len(candidates.ids)
            losses = multi_positive_info_nce(
                scores_of(prediction, extended),
                positives,
                1 / self.temperature,
                extended.excluded,
                None if log_weights is None else F.pad(log_weights, (0, more)),
            )
        anchors, _ = gather_rows(batch.ids)
        value = losses.sum() * world_size() / len(anchors)
        logs: dict[str, Tensor | float] = {"temperature": self.temperature.detach()}
        if self.related == "positive":
            logs["positives"] = sum_over_processes({"positives": positives.sum()})["positives"] / len(anchors)
        if self.mined_candidates != "none":
            mined_logs = self._mined_logs(prediction, batch, candidates, own_losses)
            logs |= {"mined_weight": mined_weight, **mined_logs}
        return LossTerm(value, logs)

    def _log_weights(self, candidates: Candidates, mined_weight: float) -> Tensor:
        """Return `[B, C]`: 0 for in-batch candidates, log of the curriculum's and the score's weight for mined ones."""
        weights = torch.ones(candidates.scores.shape, device=candidates.ids.device)
        for judged, weight in enumerate(self.score_weights):
            weights[candidates.scores == judged] = weight
        weights[:, candidates.in_batch :] *= mined_weight
        return weights.log()

    @torch.no_grad()
    def _mined_logs(
        self, prediction: Prediction, batch: Batch, candidates: Candidates, losses: Tensor
    ) -> dict[str, Tensor | float]:
        """Return the figures behind the four failure modes of Exp 2.1, with the own body as the one positive."""
        n = candidates.in_batch
        in_batch_losses = info_nce(
            scores_of(prediction, candidates, n),
            candidates.labels,
            1 / self.temperature,
            candidates.excluded[:, :n],
        )
        admitted = (~candidates.excluded[:, n:]).any(dim=0)
        # processes may have brought the same function, and each knows of its own anchors alone
        unique_ids = gather_rows(candidates.ids[n:][admitted])[0].unique()
        figures = {
            "in_batch": in_batch_losses.sum(),
            "mined": (losses - in_batch_losses).sum(),
            # with Z the sum over a set of candidates, in_batch - loss = log(Z_in_batch / Z_all)
            "mined_mass": (1 - (in_batch_losses - losses).exp()).clamp(min=0).sum(),
        }
        if batch.negatives is not None:
            owners = batch.negatives.owners
            figures |= {"covered": owners.any(dim=1).sum(), "owned": owners.sum(), "cosine": _cosine_sum(batch)}
            figures |= {f"pairs_score{score}": (batch.negatives.scores == score).sum() for score in (0, 1)}
        anchors = torch.tensor(len(batch), device=losses.device)
        sums = sum_over_processes({"anchors": anchors} | figures)
        logs: dict[str, Tensor | float] = {
            name: sums[name] / sums["anchors"] for name in ("in_batch", "mined", "mined_mass")
        }
        logs["unique_negatives"] = float(len(unique_ids))
        if batch.negatives is not None:
            logs["covered_anchors"] = sums["covered"] / sums["anchors"]
            logs["negatives_per_covered_anchor"] = sums["owned"] / sums["covered"].clamp(min=1)
            logs["negative_cosim"] = sums["cosine"] / sums["owned"].clamp(min=1)
            logs |= {name: sums[name] for name in ("pairs_score0", "pairs_score1")}
        return logs


def _cosine_sum(batch: Batch) -> Tensor:
    """Sum of the cosines of the anchors' bodies with the negatives they brought."""
    assert batch.negatives is not None
    bodies, negatives = at_least_float32(batch.body_pooled), at_least_float32(batch.negatives.embeddings)
    return (F.normalize(bodies, dim=-1) @ F.normalize(negatives, dim=-1).T)[batch.negatives.owners].sum()
