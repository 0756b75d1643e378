"""Labels in place of the names that runs log."""

from sigjepa.evaluation.metrics import Metrics

TRAINING = {
    "train/loss": "loss",
    "train/first_loss": "loss of the first step",
    "train/gradient_norm": "gradient norm",
    "train/infonce_temperature": "temperature",
    "train/infonce_in_batch": "in-batch loss",
    "train/infonce_mined": "loss added by mined candidates",
    "train/infonce_mined_mass": "softmax mass on mined candidates",
    "train/infonce_mined_weight": "weight of mined candidates",
    "train/infonce_negative_cosim": "cosine of mined candidates with the body",
    "train/infonce_covered_anchors": "share of anchors with hard negatives",
    "train/infonce_negatives_per_covered_anchor": "hard negatives of a covered anchor",
    "train/infonce_unique_negatives": "unique rows appended a step",
    "train/infonce_pairs_score0": "score_c = 0 pairs a step",
    "train/infonce_pairs_score1": "score_c = 1 pairs a step",
}
"""What training logs beside the losses that a run names itself."""


def label_of(key: str, metrics: Metrics) -> str:
    """Return what people call a logged figure: `val Rank@10` for `val/rank10`; the key where none is known."""
    split, _, name = key.partition("/")
    return f"{split} {metrics[name].label}" if split != "train" and name in metrics else TRAINING.get(key, key)
