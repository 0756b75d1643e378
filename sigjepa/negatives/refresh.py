"""Mine again with the student's own predictions: the negatives that it confuses now, judged and filtered alike."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import similarities_for
from sigjepa.negatives.judging.stage import judge_pairs
from sigjepa.negatives.mining.knn import nearest_pairs
from sigjepa.negatives.mining.search import exact_index
from sigjepa.negatives.mining.stage import mined_ids, pair_metadata
from sigjepa.negatives.mining.vectors import Floats, Ids, PooledRows, UnitVectors

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.negatives.sources import MinedNegatives
    from sigjepa.teacher.shards import TeacherShards

log = logging.getLogger(__name__)


def mine_predictions(
    source: "MinedNegatives",
    predictions: Floats,
    ids: Ids,
    owners: Ids,
    earlier: HardNegatives,
    *,
    corpus: "Corpus",
    shards: "TeacherShards",
    data_dir: Path,
    provenance: Mapping[str, Any],
) -> HardNegatives:
    """Return the bodies nearest to each prediction, as hard negatives (ANCE, https://arxiv.org/abs/2007.00808).

    Mined among the same functions by the same search, asked of the same judge and filtered as `source` says, but for
    the bounds on cosines: those here are the student's, not the teacher's. What was judged related stays so, whatever
    is mined anew. An approximate search has its recall measured on the predictions; where it does not reach the lowest,
    a warning says so, and the search is exact.

    Args:
        predictions: `[n, D]` the student's bodies of the functions `ids [n]`, ascending, that it is trained on: no
            others are mined.
        owners: `[N]` the function whose embedding is the target of each, by function id.
        earlier: the hard negatives that are replaced.

    Raises SigjepaError as judging does, and for predictions without a cosine.
    """
    mined = np.intersect1d(mined_ids(corpus, source.tiers), ids)
    bodies = UnitVectors.of(PooledRows(shards, "body", owners[mined]), mined)
    anchors = UnitVectors.of(predictions[np.searchsorted(ids, mined)], mined, "predictions")
    try:
        searched, record = source.search.build(bodies, source.top_k, -1.0, anchors)
    except SigjepaError as error:  # predictions may lie far from all bodies, and training has gone on for epochs
        log.warning("%s This refresh searches exactly.", error)
        searched, record = exact_index(bodies)
    pairs = nearest_pairs(anchors, bodies, searched, source.top_k, min_cosim=-1.0)
    judged, _ = judge_pairs(pairs, source.judge, corpus, data_dir)
    pair_filter = replace(source.filter, min_cosim=-1.0, max_cosim=1.0)
    index = HardNegatives.from_judged(
        judged,
        train_ids=ids,
        pair_filter=pair_filter,
        similarities=similarities_for(pair_filter, judged, shards),
        provenance={**pair_metadata(corpus, shards), "judged_pairs": len(judged), "search": record, **provenance},
    )
    return index.masking(earlier)
