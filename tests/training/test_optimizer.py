import math

import pytest
import torch
from torch import nn

from sigjepa.losses.infonce import InfoNCE
from sigjepa.models.token_predictor import TokenPredictor
from sigjepa.training.optimizer import parameter_groups, warmup_cosine


def test_only_matrices_are_decayed():
    model = TokenPredictor(teacher_dim=8, hidden_dim=16, heads=2, feedforward_dim=32)
    module = nn.ModuleDict({"model": model, "infonce": InfoNCE()})
    decayed, undecayed = parameter_groups(module)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    assert undecayed["weight_decay"] == 0
    decayed_names = {names[id(parameter)] for parameter in decayed["params"]}
    undecayed_names = {names[id(parameter)] for parameter in undecayed["params"]}
    assert decayed_names | undecayed_names == set(names.values())
    assert not decayed_names & undecayed_names
    assert {"infonce.log_temperature", "model.mask_token", "model.positions.weight"} <= undecayed_names
    assert all(name.endswith("weight") for name in decayed_names)
    assert not any("norm" in name for name in decayed_names)


@pytest.mark.parametrize(("total", "warmup_fraction"), [(200, 0.1), (50, 0.05), (3, 0.05)])
def test_warmup_cosine_equals_the_formula(total, warmup_fraction):
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=2e-3)
    scheduler = warmup_cosine(optimizer, total, warmup_fraction=warmup_fraction, final_fraction=0.01)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    warmup = max(1, round(warmup_fraction * total))
    for step, rate in enumerate(rates):
        if step < warmup:
            start = 1 / (warmup + 1)
            expected = 2e-3 * (start + (1 - start) * step / warmup)
        else:
            cosine = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
            expected = 2e-3 * (0.01 + 0.99 * cosine)
        assert rate == pytest.approx(expected, rel=1e-6)
    assert rates[0] > 0
