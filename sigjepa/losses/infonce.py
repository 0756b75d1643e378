"""InfoNCE with a learned temperature over in-batch and mined candidates."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sigjepa.data.batch import Batch
from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.losses.candidates import MINED_CANDIDATES, Candidates, in_batch_candidates
from sigjepa.losses.contract import LossTerm, Progress
from sigjepa.losses.gather import gather_rows, world_size
from sigjepa.models.prediction import Prediction
from sigjepa.negatives.schedule import Constant, Schedule


def info_nce(
    predictions: Tensor,
    candidates: Tensor,
    labels: Tensor,
    inverse_temperature: Tensor,
    excluded: Tensor,
    log_weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of each anchor's own body among its candidates, `[B]` (CPC, https://arxiv.org/abs/1807.03748).

    predictions: `[B, D]`, candidates: `[C, D]`, both normalised here. labels: `[B]`. excluded: `[B, C]` candidates
    that get no softmax mass. log_weights: `[C]` added to the logits, so a candidate of weight w counts w times.
    Logits are fp32 whatever the inputs and autocast say.
    """
    with torch.autocast(predictions.device.type, enabled=False):
        cosine = F.normalize(predictions.float(), dim=-1) @ F.normalize(candidates.float(), dim=-1).T
        logits = cosine * inverse_temperature.float()
        if log_weights is not None:
            logits = logits + log_weights
        return F.cross_entropy(logits.masked_fill(excluded, -torch.inf), labels, reduction="none")


class InfoNCE(nn.Module):
    """InfoNCE over the bodies of the batch (Exp 1.4) and, by name, mined hard negatives (Exp 2.1 and curriculum).

    mined_candidates: `none`, `union` (every anchor faces the batch's hard negatives) or `per_anchor` (its own only).
    schedule: weight of the mined candidates by epoch; at weight 0 the term is exactly Exp 1.4. temperature: where the
    learned temperature starts; kept in log space and within [min_temperature, max_temperature]. weight: share of this
    term in the loss.

    Under DDP the candidates of all ranks are gathered, without gradient since targets are frozen, and each rank's
    value is scaled so that DDP's mean over ranks is the single-process value and gradient on the global batch.
    """

    def __init__(
        self,
        mined_candidates: str = "none",
        schedule: Schedule | None = None,
        temperature: float = 0.07,
        min_temperature: float = 0.01,
        max_temperature: float = 1.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        known = ["none", *MINED_CANDIDATES]
        if mined_candidates not in known:
            raise SigjepaError(
                f"mined_candidates is '{mined_candidates}'; use one of {', '.join(known)}."
                f"{nearest_name(mined_candidates, known)}"
            )
        if not 0 < min_temperature <= temperature <= max_temperature:
            raise SigjepaError(
                f"temperature {temperature} is outside [{min_temperature}, {max_temperature}]; "
                "change temperature, min_temperature or max_temperature."
            )
        self.mined_candidates = mined_candidates
        self.schedule = schedule if schedule is not None else Constant()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.min_temperature = min_temperature
        self.max_temperature = max_temperature
        self.weight = weight

    @property
    def temperature(self) -> Tensor:
        """The temperature in use, a scalar."""
        return self.log_temperature.clamp(math.log(self.min_temperature), math.log(self.max_temperature)).exp()

    def forward(self, prediction: Prediction, batch: Batch, progress: Progress) -> LossTerm:
        """The term on one batch; logs the temperature and, with mined candidates, what they added."""
        mined_weight = self.schedule.weight_at(progress.epoch) if self.mined_candidates != "none" else 0.0
        candidates = MINED_CANDIDATES[self.mined_candidates](batch) if mined_weight > 0 else in_batch_candidates(batch)
        log_weights = torch.zeros(len(candidates.ids), device=batch.ids.device)
        log_weights[candidates.in_batch :] = math.log(mined_weight) if mined_weight > 0 else -math.inf
        inverse_temperature = 1 / self.temperature
        losses = info_nce(
            prediction.pooled,
            candidates.embeddings,
            candidates.labels,
            inverse_temperature,
            candidates.excluded,
            log_weights,
        )
        anchors, _ = gather_rows(batch.ids)
        value = losses.sum() * world_size() / len(anchors)
        logs: dict[str, Tensor | float] = {"temperature": self.temperature.detach()}
        if self.mined_candidates != "none":
            logs |= {"mined_weight": mined_weight} | self._mined_logs(prediction, batch, candidates, losses)
        return LossTerm(value, logs)

    @torch.no_grad()
    def _mined_logs(
        self, prediction: Prediction, batch: Batch, candidates: Candidates, losses: Tensor
    ) -> dict[str, Tensor | float]:
        """The figures behind the four failure modes of Exp 2.1."""
        n = candidates.in_batch
        in_batch_losses = info_nce(
            prediction.pooled,
            candidates.embeddings[:n],
            candidates.labels,
            1 / self.temperature,
            candidates.excluded[:, :n],
        )
        logs: dict[str, Tensor | float] = {
            "in_batch": in_batch_losses.mean(),
            "mined": (losses - in_batch_losses).mean(),
            # with Z the sum over a set of candidates, in_batch - loss = log(Z_in_batch / Z_all)
            "mined_mass": (1 - (in_batch_losses - losses).exp()).clamp(min=0).mean(),
            "unique_negatives": float((~candidates.excluded[:, n:]).any(dim=0).sum()),
        }
        if batch.negatives is not None:
            covered = batch.negatives.owners.any(dim=1)
            logs["covered_anchors"] = covered.float().mean()
            logs["negatives_per_covered_anchor"] = batch.negatives.owners.sum() / covered.sum().clamp(min=1)
            for score in (0, 1):
                logs[f"pairs_score{score}"] = (batch.negatives.scores == score).sum().float()
        return logs
