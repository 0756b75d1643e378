"""What a training step asks of an accelerator: no wait, and a bounded number of operations; counted without one.

Tensors on torch's `meta` device have no values: whatever would wait for one, `item`, `nonzero`, boolean indexing,
raises.
"""

import contextlib
import functools
import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sigjepa.data.batch import Batch, NegativeBatch
from sigjepa.errors import SigjepaError
from sigjepa.losses.candidates import equal_rows, equal_rows_by_distance
from sigjepa.losses.infonce import InfoNCE
from sigjepa.losses.loss import Progress
from sigjepa.losses.token_smooth_l1 import TokenSmoothL1, masked_smooth_l1, summed_smooth_l1
from sigjepa.models.predictor import SigPredictor
from sigjepa.models.token_predictor import TokenPredictor
from sigjepa.training.cuda_graphs import FlatStep, RecordedStep, tensors_of
from sigjepa.training.mean_metrics import MeanMetrics
from sigjepa.training.module import SigJepaModule

SIZES = {"teacher_dim": 16, "hidden_dim": 8, "heads": 2, "feedforward_dim": 16, "dropout": 0.0}
VIEWS = ("view", "t.", "transpose", "squeeze", "unsqueeze", "expand", "detach", "select", "slice", "permute")
VIEWS += ("_unsafe_view", "unbind", "split", "alias", "promote_types", "empty")


class Operations(TorchDispatchMode):
    """Counts operations that compute something."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = str(operation).removeprefix("aten.")
        self.counts[name] += not name.startswith(VIEWS)
        return operation(*args, **(kwargs or {}))


def make_module(tokens):
    student = TokenPredictor if tokens else SigPredictor
    losses = {"infonce": InfoNCE()} | ({"token_smooth_l1": TokenSmoothL1()} if tokens else {})
    return SigJepaModule(student(**SIZES), losses, functools.partial(torch.optim.AdamW))


def make_batch(tokens, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(8) < torch.randint(1, 8, (6, 1), generator=generator)
    bodies = torch.randn(6, 16, generator=generator)
    bodies[4] = bodies[1]
    batch = Batch(torch.arange(6), torch.randn(6, 8, 16, generator=generator), mask, bodies)
    if tokens:
        batch.body_states, batch.body_mask = torch.randn(6, 8, 16, generator=generator), mask.flip(0)
    return Batch(**{name: tensor.to(device) for name, tensor in tensors_of(batch).items()})


@pytest.mark.parametrize(("tokens", "limit"), [(False, 240), (True, 350)])
def test_a_step_on_an_accelerator_waits_for_nothing(monkeypatch, tokens, limit):
    """The limit is of operations as a CPU would run them: attention alone is twenty here and one on a GPU."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # it knows no meta device
    module = make_module(tokens).to("meta").train()
    with Operations() as operations:
        total, logs = module.compute_step(make_batch(tokens, "meta"), Progress(0, 0))
        module.mean_metrics.add(logs, 6.0, step=0)
        total.backward()
    assert 100 < operations.counts.total() <= limit


def test_an_accelerators_equations_give_what_the_cpus_do():
    batch = make_batch(tokens=True)
    assert torch.equal(
        equal_rows_by_distance(batch.body_pooled, batch.body_pooled), equal_rows(batch.body_pooled, batch.body_pooled)
    )
    assert equal_rows(batch.body_pooled, batch.body_pooled).sum() == 8  # the two equal ones, both ways
    predicted = torch.randn(6, 8, 16, generator=torch.Generator().manual_seed(1))
    arguments = (predicted, batch.body_states, batch.body_mask, 1.0)
    assert masked_smooth_l1(*arguments) == pytest.approx(float(summed_smooth_l1(*arguments)), rel=1e-6)


def test_a_step_from_tensors_alone_is_the_modules_own():
    """What a graph records: the same loss, figures and gradients."""
    module, batch = make_module(tokens=True).train(), make_batch(tokens=True)
    expected, logs = module.compute_step(batch, Progress(0, 0))
    expected.backward()
    gradients = [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]
    module.zero_grad()
    tensors = tensors_of(batch)
    flat = FlatStep(module, module.compute_step, list(tensors))
    total, figures = flat(*tensors.values())
    total.backward()
    assert total.item() == expected.item()
    assert dict(zip(flat.figures, figures.tolist(), strict=True)) == {
        name: float(value) for name, value in logs.items()
    }
    again = [parameter.grad for parameter in flat.parameters() if parameter.grad is not None]
    assert all(torch.equal(one, other) for one, other in zip(again, gradients, strict=True))


def test_shapes_that_come_often_are_recorded_once_each(monkeypatch):
    module = make_module(tokens=False).train()
    step = RecordedStep(module, module.compute_step, after=2, max_graphs=1)
    recorded = []

    def record(tensors):
        recorded.append(tensors["signature_states"].shape)
        return FlatStep(module, module.compute_step, list(tensors))

    monkeypatch.setattr(step, "_record", record)
    batch, other = make_batch(tokens=False), make_batch(tokens=False)
    other.signature_states, other.signature_mask = other.signature_states[:, :4], other.signature_mask[:, :4]
    totals = [step(each, Progress(0, 0))[0].item() for each in [batch, other] * 4]
    assert len(set(totals[::2])) == 1
    assert recorded == [batch.signature_states.shape]
    assert step.counts() == (2, 8, 1)
    negatives = NegativeBatch(torch.arange(1), torch.zeros(1, 16), torch.zeros(6, 1, dtype=torch.int8))
    assert tensors_of(replace(batch, negatives=negatives)) is None


def test_figures_left_on_the_device_are_counted_as_they_came():
    at_once, left = MeanMetrics(), MeanMetrics()
    for step in range(5):
        figures = {"a": torch.tensor(0.1 * step), "b": 0.3, "c": torch.tensor(step)}
        at_once.add(figures, weight=step + 1.0, step=step)
        at_once.read()
        left.add(figures, weight=step + 1.0, step=step)
    assert [step for step, _ in left.read()] == [0, 1, 2, 3, 4]
    assert left.state_dict() == at_once.state_dict()
    assert left.take() == at_once.take()


@pytest.mark.parametrize("what", ["read_figures", "on_save_checkpoint"])
def test_a_loss_that_was_not_finite_is_found_when_it_is_read(what):
    """By then later steps are as bad; the first is named, and no checkpoint is written."""
    module = make_module(tokens=False)
    for step, value in enumerate([1.0, 2.0, math.nan, math.nan]):
        module.mean_metrics.add({"train/infonce": torch.tensor(value)}, step=step)
    with pytest.raises(SigjepaError, match="'infonce' .*nan.* 2"):
        getattr(module, what)(*([{}] if what == "on_save_checkpoint" else []))
