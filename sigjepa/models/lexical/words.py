"""Words that signature and body share: BM25, in which a small network says how much a word counts."""

import math

import torch
from torch import Tensor, nn

from sigjepa.data.batch import Halves, Terms
from sigjepa.data.views import TermRows, View, Views
from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.lexicon.bm25 import FORMS
from sigjepa.lexicon.features import WORD_FEATURES
from sigjepa.lexicon.signature import ROLES
from sigjepa.models.lexical.part import ScaledRate, Standardize, zero_linear

IDF = WORD_FEATURES.index("idf")
COUNTS = slice(WORD_FEATURES.index(ROLES[0]), WORD_FEATURES.index(ROLES[-1]) + 1)


class SharedWords(nn.Module):
    """Score `Σ aᵢ · saturation(wᵢ, body)` over the words of a signature.

    `aᵢ = scale · idfᵢ · Σ_r n_ir role_r · exp(network(features of i))`, where `n_ir` is how often word i stands in role
    r. The network gives 0 at first: then it is `scale` times BM25. form: `words`, the split words, or `names`, the bare
    ones. hidden_dim: of the network. scale: at first. lr_scale: of the network, as a share of the optimizer's rate.
    """

    def __init__(self, form: str, hidden_dim: int = 16, scale: float = 1.0, lr_scale: float = 0.1) -> None:
        super().__init__()
        if form not in FORMS:
            raise SigjepaError(f"form={form}: use {' or '.join(FORMS)}.{nearest_name(form, FORMS)}")
        self.form = form
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.roles = nn.Parameter(torch.ones(len(ROLES)))
        self.standardize = Standardize(len(WORD_FEATURES))
        features = len(WORD_FEATURES)
        layers = (nn.Linear(features, hidden_dim), nn.GELU(), zero_linear(hidden_dim, 1))
        self.network = ScaledRate(*layers, lr_scale=lr_scale)

    def fit(self, train: Halves) -> None:
        """Standardize the features as on train."""
        self.standardize.fit(self._words(train.signature_terms).values)

    def signature_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return the weight `aᵢ` of each word of the signatures."""
        words = self._words(terms)
        weights = words.values[:, IDF] * (words.values[:, COUNTS] @ self.roles) * self.log_scale.exp()
        learned = self.network(self.standardize(words.values))[:, 0]
        return {self.form: View(words.with_values(weights * learned.exp()))}

    def body_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return the saturated frequency of each word of the bodies."""
        return {self.form: View(terms[f"body_{self.form}"])}

    def _words(self, terms: Terms) -> TermRows:
        return terms[f"signature_{self.form}"]
