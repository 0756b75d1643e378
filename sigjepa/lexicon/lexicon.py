"""The lexicon of a corpus, opened."""

from functools import cached_property

import numpy as np

from sigjepa.lexicon.function_terms import FunctionTerms
from sigjepa.store.artifact import OpenedArtifact


class Lexicon(OpenedArtifact):
    """The terms of every function of a corpus, by function id; nothing is read until it is asked for."""

    @cached_property
    def terms(self) -> FunctionTerms:
        """The terms of all functions, by id."""
        parts = []
        for file in self.manifest.facts["tables"]:
            with np.load(self.folder / file, allow_pickle=False) as arrays:
                parts.append(FunctionTerms.from_arrays(arrays))
        return FunctionTerms.concatenate(parts)
