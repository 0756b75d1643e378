"""What an imported file holds, read without a corpus or shards."""

import numpy as np

from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.imports import ImportedFile
from sigjepa.negatives.exchange.train_pairs import TrainPairs


def read_file(source: ImportedFile, ids=None, train=None, recorded=None, *, skip_outside=False):
    """The judged pairs and metadata of a file, and how many pairs lie outside of the train split."""
    ids = ids or FunctionIds(60)
    pairs = TrainPairs(ids, np.arange(40) if train is None else train, skip_outside=skip_outside)
    judged, metadata = source.read(pairs, recorded or {})
    return judged, metadata | {"outside_pairs": pairs.outside}
