"""Words that signature and body share: BM25, in which a small network says how much a word counts."""

import torch
from torch import Tensor, nn

from sigjepa.data.batch import Halves, Terms
from sigjepa.data.views import View, Views
from sigjepa.lexicon.features import WORD_FEATURES
from sigjepa.lexicon.signature import ROLES
from sigjepa.models.lexical.part import ScaledRate, Standardize, positive_logarithms, zero_linear

IDF = WORD_FEATURES.index("idf")
COUNTS = slice(WORD_FEATURES.index(ROLES[0]), WORD_FEATURES.index(ROLES[-1]) + 1)


class SharedWords(nn.Module):
    """Score `Σ aᵢ · saturation(wᵢ, body)` over the words of a signature.

    `aᵢ = scale · idfᵢ · Σ_r n_ir role_r · exp(network(features of i))`, where `n_ir` is how often word i stands in role
    r. The network gives 0 at first: then it is `scale` times BM25 of split words. hidden_dim: of the network. scale: at
    first. lr_scale: of the network, as a share of the optimizer's rate.
    """

    def __init__(self, hidden_dim: int = 16, scale: float = 1.0, lr_scale: float = 0.1) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(positive_logarithms("words.scale", scale))
        self.roles = nn.Parameter(torch.ones(len(ROLES)))
        self.standardize = Standardize(len(WORD_FEATURES))
        features = len(WORD_FEATURES)
        layers = (nn.Linear(features, hidden_dim), nn.GELU(), zero_linear(hidden_dim, 1))
        self.network = ScaledRate(*layers, lr_scale=lr_scale)

    def fit(self, train: Halves) -> None:
        """Standardize the features as on train."""
        self.standardize.fit(train.signature_terms["signature_words"].values)

    def signature_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return the weight `aᵢ` of each word of the signatures."""
        words = terms["signature_words"]
        weights = words.values[:, IDF] * (words.values[:, COUNTS] @ self.roles) * self.log_scale.exp()
        learned = self.network(self.standardize(words.values))[:, 0]
        return {"words": View(words.with_values(weights * learned.exp()))}

    def body_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return the saturated frequency of each word of the bodies."""
        return {"words": View(terms["body_words"])}
