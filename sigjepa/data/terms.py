"""Terms of functions as tensors, the rows of the lexicon that batches carry."""

from dataclasses import fields

import numpy as np
import torch

from sigjepa.data.batch import Terms
from sigjepa.data.views import TermRows
from sigjepa.lexicon.features import FunctionFeatures

SIGNATURE_TABLES = ("signature_words", "function_names", "parameters", "signature_structure")
BODY_TABLES = ("body_words", "body_names", "free_names", "super_calls", "mentions", "body_structure")


class TermTensors:
    """The terms of all functions of a corpus by function id, those of signatures and those of bodies apart.

    features: of the lexicon.
    """

    def __init__(self, features: FunctionFeatures) -> None:
        self.tables: dict[str, TermRows] = {}
        for field in fields(features):
            table = getattr(features, field.name)
            terms = torch.from_numpy(table.terms.view(np.int64))
            values = torch.from_numpy(table.values)
            self.tables[field.name] = TermRows(len(table), torch.from_numpy(table.functions), terms, values)

    def of_signatures(self, ids: torch.Tensor) -> Terms:
        """Return the terms of the signatures of some functions `[B]`."""
        return {name: self.tables[name].take(ids) for name in SIGNATURE_TABLES}

    def of_bodies(self, ids: torch.Tensor) -> Terms:
        """Return the terms of the bodies of some functions `[B]`."""
        return {name: self.tables[name].take(ids) for name in BODY_TABLES}
