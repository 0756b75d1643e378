"""What kind of function it is, and whether the body mentions its own name."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sigjepa.data.batch import Halves, Terms
from sigjepa.data.views import TermRows, View, Views
from sigjepa.lexicon.features import WORD_FEATURES
from sigjepa.lexicon.mentions import MENTIONS, NAME_VARIANTS
from sigjepa.lexicon.structure import BODY_STRUCTURES, SIGNATURE_STRUCTURES
from sigjepa.lexicon.terms import term_hash
from sigjepa.models.lexical.part import Scaled, Standardize
from sigjepa.teacher.normalize import fit_whitening

MAX_DEVIATIONS = 4.0
"""A body's structure counts at most so many deviations from the mean: the longest bodies are hundreds of lines."""


VECTOR_LENGTH = 3.0
"""Of the teacher's vectors: about that of a signature's structure, which has a 1 for each of some ten facts."""
USUAL_IDF = 10.0
"""About the sum of the idf of the words of a function's name."""


class Structure(nn.Module):
    """Score `s(signature) · M · b(body)`, where s and b are the structures of both, those of bodies standardized.

    b holds for each structure how often it occurs, as log2(1 + n), and whether it does. M is 0 at first. lr_scale: its
    rate as a share of the optimizer's.
    """

    signature_terms: Tensor
    body_terms: Tensor

    def __init__(self, lr_scale: float = 0.2) -> None:
        super().__init__()
        self.matrix = Scaled(torch.zeros(len(SIGNATURE_STRUCTURES), 2 * len(BODY_STRUCTURES)), lr_scale)
        self.standardize = Standardize(2 * len(BODY_STRUCTURES))
        for half, names in (("signature", SIGNATURE_STRUCTURES), ("body", BODY_STRUCTURES)):
            hashes = np.array([term_hash(name) for name in names], np.uint64).view(np.int64)
            self.register_buffer(f"{half}_terms", torch.from_numpy(hashes), persistent=False)

    def fit(self, train: Halves) -> None:
        """Standardize the structure of bodies as on train."""
        self.standardize.fit(self._bodies(train.body_terms))

    def signature_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return what the bodies of signatures are expected to be like `[B, k]`."""
        return {"structure": View(self._expected(pooled, terms))}

    def body_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return the structures of bodies `[C, k]`."""
        standardized = self.standardize(self._bodies(terms))
        return {"structure": View(standardized.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS))}

    def _expected(self, pooled: Tensor, terms: Terms) -> Tensor:
        return dense(terms["signature_structure"], self.signature_terms) @ self.matrix.weight

    def _bodies(self, terms: Terms) -> Tensor:
        counts = dense(terms["body_structure"], self.body_terms)
        return torch.cat([counts, (counts > 0).float()], dim=1)


class VectorStructure(Structure):
    """Score `(s(signature) · M + z(signature) · Z) · b(body)`, where z is the teacher's whitened vector.

    Z is 0 at first. teacher_dim: D. shrinkage: of the whitening. lr_scale, vector_lr_scale: rates of M and Z as a share
    of the optimizer's.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(
        self, teacher_dim: int, lr_scale: float = 0.2, vector_lr_scale: float = 0.02, shrinkage: float = 0.3
    ) -> None:
        super().__init__(lr_scale)
        self.shrinkage = shrinkage
        self.vector_matrix = Scaled(torch.zeros(teacher_dim, 2 * len(BODY_STRUCTURES)), vector_lr_scale)
        self.register_buffer("mean", torch.zeros(teacher_dim))
        self.register_buffer("whitening", torch.eye(teacher_dim))

    def fit(self, train: Halves) -> None:
        """Standardize the structure of bodies and whiten the vectors of signatures as on train."""
        super().fit(train)
        whitening = fit_whitening(train.signature_pooled, shrinkage=self.shrinkage)
        self.mean.copy_(whitening.mean)
        self.whitening.copy_(whitening.matrix)

    def _expected(self, pooled: Tensor, terms: Terms) -> Tensor:
        z = F.normalize((pooled - self.mean) @ self.whitening, dim=-1) * VECTOR_LENGTH
        return super()._expected(pooled, terms) + z @ self.vector_matrix.weight


def dense(table: TermRows, columns: Tensor) -> Tensor:
    """Return the values of terms that are among `columns` `[k]`, as `[n, k]`."""
    order = columns.argsort()
    place = torch.searchsorted(columns[order], table.terms).clamp(max=len(columns) - 1)
    known = columns[order][place] == table.terms
    matrix = table.values.new_zeros(table.size, len(columns))
    matrix[table.rows[known], order[place[known]]] = table.values[known, 0]
    return matrix


class OwnName(nn.Module):
    """Score how a body mentions the name of the function, or one with an underscore more or less.

    A body that calls `self.name(...)` is mostly a caller's: the words of the name are in it, and do not count for it.
    One that returns `self._name` is the property's. For each of `NAME_VARIANTS` and `MENTIONS` a weight, and another
    one times the idf of the words of the name, 0 at first. lr_scale: their rate as a share of the optimizer's.
    """

    def __init__(self, lr_scale: float = 10.0) -> None:
        super().__init__()
        self.weights = Scaled(torch.zeros(2 * len(NAME_VARIANTS) * len(MENTIONS)), lr_scale)  # a vector: without decay

    def fit(self, train: Halves) -> None:
        """Fit nothing."""

    def signature_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return the names of functions, with the weight of each mention."""
        words, names = terms["signature_words"], terms["function_names"]
        of_name = words.values[:, WORD_FEATURES.index("idf")] * words.values[:, WORD_FEATURES.index("name")]
        idf = words.sums(of_name)[names.rows, None] / USUAL_IDF
        weights = self.weights.weight.view(-1, len(MENTIONS))
        return {"mentions": View(names.with_values(torch.cat([names.values, names.values * idf], dim=1) @ weights))}

    def body_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return which names bodies mention how."""
        return {"mentions": View(terms["mentions"])}
