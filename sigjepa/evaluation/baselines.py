"""What costs nothing to predict: the figures every student stands beside, on the same pool with the same ranks."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sigjepa.evaluation.ranks import CUTOFFS, mean_cosine, pool_ranks
from sigjepa.teacher.normalize import fit_centre


def random_metrics(pool_size: int) -> dict[str, float]:
    """Exact expectation of a uniformly random ranking of a pool."""
    metrics = {f"rank{k}": min(k / pool_size, 1.0) for k in CUTOFFS}
    return metrics | {"mrr": float((1 / np.arange(1, pool_size + 1)).mean())}


def _metrics(predictions: Tensor, bodies: Tensor) -> dict[str, float]:
    return pool_ranks(predictions, bodies).metrics() | {"cosine": mean_cosine(predictions, bodies)}


def split_baselines(
    signature_pooled: Tensor, body_pooled: Tensor, ids: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """Every baseline's metrics on the val and test pools, as `{name: {"val/rank1": ...}}`.

    `random`: exact expectation. `mean_body`: the mean train body for every query. `zero_shot`: the teacher's own
    signature embedding as the prediction. `zero_shot_centred`: the same after subtracting the train means, of
    signatures from signatures and of bodies from bodies. signature_pooled, body_pooled: `[n, D]` by function id;
    ids: of the train, val and test split.
    """
    train = torch.from_numpy(ids["train"])
    mean_body = body_pooled[train].float().mean(dim=0)
    centre_signature, centre_body = fit_centre(signature_pooled[train]), fit_centre(body_pooled[train])
    baselines: dict[str, dict[str, float]] = defaultdict(dict)
    for split in ("val", "test"):
        pool = torch.from_numpy(ids[split])
        signatures, bodies = signature_pooled[pool].float(), body_pooled[pool].float()
        by_name = {
            "random": random_metrics(len(pool)),
            "mean_body": _metrics(mean_body.expand_as(bodies), bodies),
            "zero_shot": _metrics(signatures, bodies),
            "zero_shot_centred": _metrics(centre_signature(signatures), centre_body(bodies)),
        }
        for name, metrics in by_name.items():
            baselines[name] |= {f"{split}/{metric}": value for metric, value in metrics.items()}
    return dict(baselines)
