"""A body's free names against a signature's parameters: what a body uses and does not define is one, or a global.

With F(b) the free names of a body, N(b) all its bare names, and P(s) the parameters of a signature, the score is

    Σ_{F∩P} [w₁ log p − w₂ exp(o₁) log q] + Σ_{F∖P} w₃ exp(o₂) log((1−p)/(1−q))
    + Σ_{P∖N} w₄ exp(v₁) log(u/(1−r)) + Σ_{P∩N} w₅ exp(v₂) log((1−u)/r),

where p is the learned probability that a free name is a parameter, u that a parameter is not used, o and v what the
networks say beside it, q the share of train signatures with that parameter, and r the share of train bodies that name
it. Log-likelihood ratios of a pair that
belongs together and one that does not, weighed. Besides: whether the body calls `super()` for its own name.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sigjepa.data.batch import Halves, Terms
from sigjepa.data.views import View, Views, in_rows
from sigjepa.errors import SigjepaError
from sigjepa.lexicon.features import FREE_NAME_FEATURES, PARAMETER_FEATURES
from sigjepa.lexicon.mentions import NAME_VARIANTS
from sigjepa.models.lexical.part import ScaledRate, Standardize, positive_logarithms, zero_linear
from sigjepa.store.progress import progress

MIN_ABSENT = 1e-3
"""A share is at most so much below 1, where the logarithm of what is left is taken."""


class NameNetwork(nn.Module):
    """Say of each name with which probability something holds, and by how much two weights differ from 1.

    features: their names, among them the `log_odds` of train's counts, which the network corrects. lr_scale: its rate
    as a share of the optimizer's.
    """

    def __init__(self, features: Sequence[str], hidden_dim: int, layers: int, lr_scale: float) -> None:
        super().__init__()
        self.log_odds = features.index("log_odds")
        self.standardize = Standardize(len(features))
        sizes = pairwise([len(features), *[hidden_dim] * layers])
        hidden = [layer for size, next_size in sizes for layer in (nn.Linear(size, next_size), nn.GELU())]
        self.layers = ScaledRate(*hidden, zero_linear(hidden_dim, 3), lr_scale=lr_scale)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log odds and the logarithms of two weights, `[m]` each, of features `[m, k]`."""
        correction, first, second = self.layers(self.standardize(values)).unbind(dim=1)
        return values[:, self.log_odds] + correction, first, second

    def fit(self, values: Tensor, holds: Tensor, epochs: int, lr: float = 3e-3, batch_size: int = 1024) -> None:
        """Fit the probability to what holds `[m]`, by the binary cross-entropy."""
        self.standardize.fit(values)
        optimizer = torch.optim.AdamW(self.parameters(), lr=lr, weight_decay=0.01)
        for _ in progress(range(epochs if len(values) else 0), "Fitting names", unit="epoch"):
            for rows in torch.randperm(len(values)).split(batch_size):
                loss = F.binary_cross_entropy_with_logits(self(values[rows])[0], holds[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.zero_grad()


class FreeNames(nn.Module):
    """Score the free names of a body against the parameters of a signature, as this module's docstring says.

    hidden_dim: of both networks. epochs: of their fit to train's own pairs, before training. weights: w₁ to w₅ at
    first. super_weights: at first, for a body that calls `super()` for its own name, and what it costs to call
    another. scale: of all, at first. lr_scale: of the networks, as a share of the optimizer's rate.
    """

    def __init__(
        self,
        hidden_dim: int = 64,
        epochs: int = 4,
        weights: tuple[float, float, float, float, float] = (0.3, 0.8, 0.65, 1.2, 0.05),
        super_weights: tuple[float, float] = (2.0, 2.0),
        scale: float = 1.0,
        lr_scale: float = 0.003,
    ) -> None:
        super().__init__()
        self.epochs = epochs
        self.is_parameter = NameNetwork(FREE_NAME_FEATURES, hidden_dim, layers=2, lr_scale=lr_scale)
        self.is_unused = NameNetwork(PARAMETER_FEATURES, hidden_dim // 2, layers=1, lr_scale=lr_scale)
        for key, given, wanted in (("weights", weights, 5), ("super_weights", super_weights, 2)):
            if len(given) != wanted:
                raise SigjepaError(f"model.parts.free_names.{key} has {len(given)} numbers: give {wanted}.")
        self.log_weights = nn.Parameter(positive_logarithms("free_names.weights", weights))
        self.super_weights = nn.Parameter(torch.tensor(super_weights, dtype=torch.float32))
        self.log_scale = nn.Parameter(positive_logarithms("free_names.scale", scale))

    def fit(self, train: Halves) -> None:
        """Fit p and u to the functions of train: which free names are parameters, which parameters are unused."""
        free, parameters = train.body_terms["free_names"], train.signature_terms["parameters"]
        self.is_parameter.fit(free.values, in_rows(free, parameters).float(), self.epochs)
        unused = ~in_rows(parameters, train.body_terms["body_names"])
        self.is_unused.fit(parameters.values, unused.float(), self.epochs)

    def signature_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return the parameters of signatures, and what it counts that a body names each."""
        parameters, names = terms["parameters"], terms["function_names"]
        is_exact = names.values[:, NAME_VARIANTS.index("exact")]
        log_odds, first, second = self.is_unused(parameters.values)
        _, _, _, unused, used = self.log_weights.exp()
        log_named = parameters.values[:, PARAMETER_FEATURES.index("body_log_share")]
        if_unused = unused * first.exp() * (F.logsigmoid(log_odds) - log_complement(log_named))
        if_used = used * second.exp() * (F.logsigmoid(-log_odds) - log_named)
        scale = self.log_scale.exp()
        return {
            "free_names": View(parameters.with_values(scale.expand(len(parameters.rows)))),
            "parameters": View(parameters.with_values(scale * (if_used - if_unused))),
            "super_calls": View(names.with_values(scale * is_exact)),
        }

    def body_views(self, pooled: Tensor, terms: Terms) -> Views:
        """Return what it counts that a free name is a parameter, less what it counts that it is none, whose sum is the
        constant; the names of bodies; and their calls of `super()`.
        """
        free, names, calls = terms["free_names"], terms["body_names"], terms["super_calls"]
        log_odds, first, second = self.is_parameter(free.values)
        present, rare, absent, _, _ = self.log_weights.exp()
        log_share = free.values[:, FREE_NAME_FEATURES.index("parameter_log_share")]
        if_parameter = present * F.logsigmoid(log_odds) - rare * first.exp() * log_share
        if_none = absent * second.exp() * (F.logsigmoid(-log_odds) - log_complement(log_share))
        scale = self.log_scale.exp()
        same, other = self.super_weights
        return {
            "free_names": View(free.with_values(if_parameter - if_none), scale * free.sums(if_none)),
            "parameters": View(names.with_values(scale.new_ones(len(names.rows)))),
            "super_calls": View(
                calls.with_values((same + other).expand(len(calls.rows))),
                -scale * calls.sums(other.expand(len(calls.rows))),
            ),
        }


def log_complement(log_share: Tensor) -> Tensor:
    """Return the logarithm of what a share, given by its logarithm, leaves of 1."""
    return torch.log1p(-log_share.exp().clamp(max=1 - MIN_ABSENT))
