"""Checks that the pairs of a file fit the shards in use: by their cosines, or by how near they are."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.mining.vectors import Floats, Ids, PooledRows, rounded_cosines

if TYPE_CHECKING:
    from sigjepa.teacher.shards import TeacherShards

SAMPLE = 1000
"""Pairs that are compared; of another corpus, nearly all of them differ."""

MAX_OFF = 0.01
"""Share of the sample that may be off: a few functions may have been embedded otherwise."""

MIN_PAIRS = 30
"""Fewer pairs than this say nothing of how near pairs are."""


def pair_cosines(shards: "TeacherShards", anchors: Ids, neighbors: Ids) -> Floats:
    """Return the cosines `[P]` of pairs of bodies."""
    bodies = PooledRows(shards, "body")
    return rounded_cosines(bodies, bodies, anchors, neighbors)


def check_cosines(path: Path, judged: JudgedPairs, shards: "TeacherShards", tolerance: float) -> None:
    """Raise SigjepaError when cosines of a file are not those of the shards, so of another corpus or teacher."""
    anchors, neighbors, cosim = judged.anchor_ids, judged.neighbor_ids, judged.cosim
    sample = np.unique(np.linspace(0, len(anchors) - 1, SAMPLE).astype(np.int64)) if len(anchors) else np.arange(0)
    now = pair_cosines(shards, anchors[sample], neighbors[sample])
    distances = np.abs(now - cosim[sample])
    off = int((distances > tolerance).sum())
    if off > MAX_OFF * len(sample):
        worst = int(np.argmax(distances))
        raise SigjepaError(
            f"{path} is of another corpus or teacher: {off} of {len(sample)} sampled cosines differ by more than "
            f"{tolerance} from those in {shards.folder} (the pair of functions {anchors[sample][worst]} and "
            f"{neighbors[sample][worst]} has {cosim[sample][worst]:.4f} in the file, {now[worst]:.4f} there). Use the "
            "corpus and teacher that it was made with, or accept another teacher's cosines with "
            "negatives.check_cosim=false."
        )


def check_nearness(path: Path, cosines: Floats, shards: "TeacherShards", train_ids: Ids) -> None:
    """Raise SigjepaError when pairs that should be hard negatives are no nearer than random ones of train.

    It is all that an index without a meta file shows of its corpus: `cosines [P]` are those of its pairs.
    """
    if len(cosines) < MIN_PAIRS or len(train_ids) < MIN_PAIRS:
        return
    left, right = np.random.default_rng(0).choice(train_ids, (2, SAMPLE))
    random = pair_cosines(shards, left[left != right], right[left != right])
    error = np.sqrt(cosines.var() / len(cosines) + random.var() / len(random))
    if cosines.mean() <= random.mean() + 3 * error:
        raise SigjepaError(
            f"{path} is of another corpus: the bodies that it pairs are no nearer in {shards.folder} than random ones "
            f"(mean cosine {cosines.mean():.3f} against {random.mean():.3f}), as no hard negatives are. Use the corpus "
            "that it was made for, or take it as it is with negatives.check_cosim=false."
        )
