import copy
import csv
import functools
import math

import lightning
import pytest
import torch
from averaged_sgd import AveragedSGD
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import PoolMetric
from sigjepa.evaluation.ranks import mean_cosine
from sigjepa.losses.infonce import InfoNCE
from sigjepa.models.predictor import SigPredictor
from sigjepa.models.token_predictor import TokenPredictor
from sigjepa.training.callbacks import MetricsTable
from sigjepa.training.module import SigJepaModule
from sigjepa.training.optimizer import MuonAdamW, build_optimizer, build_scheduler, parameter_groups, warmup_cosine
from sigjepa.training.status import TrainingStatus

STUDENT = {"teacher_dim": 8, "hidden_dim": 16, "heads": 2, "feedforward_dim": 32, "dropout": 0.0}
ADAMW = functools.partial(torch.optim.AdamW, lr=1e-2)
EPOCHS, STEPS = 4, 3


class LearningRates(lightning.Callback):
    """The rate of every step, and the weights at every validation and checkpoint."""

    def __init__(self):
        self.rates, self.scores = [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.rates.append(optimizer.param_groups[0]["lr"])

    def on_validation_epoch_end(self, trainer, pl_module):
        self.weights = {name: value.clone() for name, value in pl_module.state_dict().items()}


@pytest.fixture
def fit(make_batch, tmp_path):
    """Train for EPOCHS of STEPS batches; the trainer, the module and what LearningRates saw."""

    def run(optimizer=ADAMW, scheduler=None, monitor="val/rank10", metrics=None, **trainer_settings):
        lightning.seed_everything(0, verbose=False)
        module = SigJepaModule(
            SigPredictor(**STUDENT), {"infonce": InfoNCE()}, optimizer, scheduler, monitor=monitor, metrics=metrics
        )
        batches = [make_batch(size=8, seed=seed, first_id=8 * seed) for seed in range(STEPS)]
        loader = DataLoader(batches, batch_size=None)
        seen = LearningRates()
        trainer = lightning.Trainer(
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[
                *(seen, MetricsTable(tmp_path / "metrics.csv"), TrainingStatus(monitor)),
                ModelCheckpoint(tmp_path, "last", enable_version_counter=False),
            ],
            default_root_dir=tmp_path,
            **{"max_epochs": EPOCHS, **trainer_settings},
        )
        trainer.fit(module, loader, loader)
        return trainer, module, seen

    return run


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


def test_one_cycle_runs_once_over_the_steps_from_the_rate_of_the_optimizer(fit):
    rates = fit(scheduler=lr_scheduler.OneCycleLR)[2].rates
    reference = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=1e-2)
    cycle = lr_scheduler.OneCycleLR(reference, max_lr=1e-2, total_steps=EPOCHS * STEPS)
    expected = []
    for _ in range(EPOCHS * STEPS):
        expected.append(reference.param_groups[0]["lr"])
        reference.step()
        cycle.step()
    assert rates == pytest.approx(expected)
    assert max(rates) == pytest.approx(1e-2, rel=0.01)


def test_one_cycle_keeps_a_length_that_is_given_as_epochs_and_steps():
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=1e-2)
    make = functools.partial(lr_scheduler.OneCycleLR, epochs=3, steps_per_epoch=7)
    built = build_scheduler(make, optimizer, 1000, 10, "val/rank10", "max")["scheduler"]
    assert built.total_steps == 21


def test_cosine_annealing_spans_the_run_by_step_unless_its_length_is_given_in_epochs(fit):
    rates = fit(scheduler=lr_scheduler.CosineAnnealingLR)[2].rates
    expected = [0.5e-2 * (1 + math.cos(math.pi * step / (EPOCHS * STEPS))) for step in range(EPOCHS * STEPS)]
    assert rates == pytest.approx(expected)
    rates = fit(scheduler=functools.partial(lr_scheduler.CosineAnnealingLR, T_max=EPOCHS))[2].rates
    assert rates == pytest.approx([expected[step - step % STEPS] for step in range(EPOCHS * STEPS)])


def test_step_lr_counts_epochs_and_cyclic_lr_steps(fit):
    rates = fit(scheduler=functools.partial(lr_scheduler.StepLR, step_size=2, gamma=0.5))[2].rates
    assert rates == pytest.approx([1e-2] * 2 * STEPS + [0.5e-2] * 2 * STEPS)
    rates = fit(scheduler=functools.partial(lr_scheduler.CyclicLR, base_lr=1e-3, step_size_up=2, cycle_momentum=False))
    assert rates[2].rates[:5] == pytest.approx([1e-3, 5.5e-3, 1e-2, 5.5e-3, 1e-3])


@pytest.mark.parametrize("mode", ["max", "min"])
def test_reduce_on_plateau_follows_the_monitored_metric_and_its_direction(fit, mode):
    plateau = functools.partial(lr_scheduler.ReduceLROnPlateau, factor=0.5, patience=0)
    metrics = {"cosine": PoolMetric("cosine", mean_cosine, direction=mode)}
    trainer, _, seen = fit(scheduler=plateau, monitor="val/cosine", metrics=metrics)
    rates = seen.rates[::STEPS]
    assert seen.rates == [rate for rate in rates for _ in range(STEPS)]
    if mode == "max":  # the student learns, so its cosine to the body rises
        assert rates == pytest.approx([1e-2] * EPOCHS)
    else:
        assert rates == pytest.approx([1e-2, 1e-2, 0.5e-2, 0.25e-2])
    assert trainer.lr_scheduler_configs[0].scheduler.best == pytest.approx(
        trainer.callback_metrics["val/cosine"].item(), abs=1 if mode == "min" else 1e-6
    )


def test_an_epoch_without_validation_neither_lowers_the_rate_nor_has_figures_of_val(fit, tmp_path):
    plateau = functools.partial(lr_scheduler.ReduceLROnPlateau, factor=0.5, patience=0)
    metrics = {"cosine": PoolMetric("cosine", mean_cosine, direction="min")}  # it rises: never better than the first
    options = {"scheduler": plateau, "monitor": "val/cosine", "metrics": metrics, "check_val_every_n_epoch": 2}
    _, _, seen = fit(**options, max_epochs=6)
    assert seen.rates[::STEPS] == pytest.approx([1e-2] * 4 + [0.5e-2] * 2)  # validated after epochs 1, 3 and 5
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [bool(row["val/cosine"]) for row in rows] == [False, True] * 3
    assert len({row["val/cosine"] for row in rows}) == 4
    assert all(row["train/loss"] for row in rows)


@pytest.mark.parametrize(
    ("scheduler", "named"),
    [
        (lr_scheduler.StepLR, "step_size"),
        (functools.partial(lr_scheduler.OneCycleLR, pct_start=7.0), "pct_start"),
    ],
)
def test_a_schedule_that_lacks_a_setting_or_refuses_one_is_named(scheduler, named):
    optimizer = ADAMW([nn.Parameter(torch.zeros(1))])
    with pytest.raises(SigjepaError, match=f"scheduler.*{named}"):
        build_scheduler(scheduler, optimizer, 10, 5, "val/rank10", "max")


def test_a_schedule_that_spans_the_run_needs_its_end():
    optimizer = ADAMW([nn.Parameter(torch.zeros(1))])
    with pytest.raises(SigjepaError, match=r"total_steps.*trainer\.max_epochs"):
        build_scheduler(warmup_cosine, optimizer, math.inf, 5, "val/rank10", "max")
    assert build_scheduler(lr_scheduler.ReduceLROnPlateau, optimizer, math.inf, 5, "val/rank10", "max")


def test_an_optimizer_that_refuses_a_setting_is_named():
    with pytest.raises(SigjepaError, match="optimizer.*learning rate"):
        build_optimizer(functools.partial(torch.optim.AdamW, lr=-1.0), nn.Linear(2, 2))


def gradients(module, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


class Convolution(nn.Module):
    """Weights of every shape: a matrix, a vector, an embedding and a kernel."""

    def __init__(self):
        super().__init__()
        self.linear, self.embedding, self.kernel = nn.Linear(6, 4), nn.Embedding(5, 4), nn.Conv1d(3, 4, 2)


def test_muon_takes_matrices_and_adamw_the_rest():
    module = Convolution()
    expected = copy.deepcopy(module)
    optimizer = build_optimizer(functools.partial(MuonAdamW, lr=1e-2, weight_decay=0.1), module)
    muon = torch.optim.Muon([expected.linear.weight], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    plain = [expected.linear.bias, expected.embedding.weight, expected.kernel.bias]
    groups = [{"params": [expected.kernel.weight]}, {"params": plain, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.1)
    for step in range(3):
        gradients(module, step)
        gradients(expected, step)
        optimizer.step()
        muon.step()
        adamw.step()
        for group in [*optimizer.param_groups, *muon.param_groups, *adamw.param_groups]:
            group["lr"] /= 2
    for name, parameter in expected.named_parameters():
        assert torch.equal(module.get_parameter(name), parameter), name


def test_muon_with_adamw_goes_on_from_its_state():
    module = Convolution()
    optimizer = build_optimizer(MuonAdamW, module)
    gradients(module, 0)
    optimizer.step()
    copied = copy.deepcopy(module)
    resumed = build_optimizer(functools.partial(MuonAdamW, lr=1.0), copied)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in (1, 2):
        for model, one_of in ((module, optimizer), (copied, resumed)):
            gradients(model, step)
            one_of.step()
    for name, parameter in module.named_parameters():
        assert torch.equal(copied.get_parameter(name), parameter), name


def test_muon_computes_the_loss_of_a_closure_with_gradients():
    module = nn.Linear(2, 2)
    optimizer = build_optimizer(MuonAdamW, module)

    def closure():
        optimizer.zero_grad()
        loss = module(torch.ones(1, 2)).square().sum()
        loss.backward()
        return loss

    before = closure().item()
    losses = [optimizer.step(closure).item() for _ in range(50)]
    assert losses[0] == pytest.approx(before)
    assert losses[-1] < before


def test_muon_trains_a_student(fit):
    for scheduler in (warmup_cosine, lr_scheduler.OneCycleLR):
        rates = fit(functools.partial(MuonAdamW, lr=1e-2), scheduler)[2].rates
        assert len(set(rates)) == EPOCHS * STEPS


def averaging_optimizers():
    schedulefree = pytest.importorskip("schedulefree")
    return functools.partial(schedulefree.AdamWScheduleFree, lr=1e-2)


@pytest.mark.parametrize("optimizer", ["stand-in", "schedulefree"])
def test_averaged_weights_are_validated_and_kept_and_the_others_are_trained(fit, tmp_path, optimizer):
    make = functools.partial(AveragedSGD, lr=0.5) if optimizer == "stand-in" else averaging_optimizers()
    trainer, module, seen = fit(make)
    (trained,) = trainer.optimizers
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    for name, weights in seen.weights.items():
        assert torch.equal(kept[name], weights), name
    averaged = {name: parameter.clone() for name, parameter in module.named_parameters()}
    trained.train()
    assert any(not torch.equal(parameter, averaged[name]) for name, parameter in module.named_parameters())


def test_weights_that_a_checkpoint_brought_are_not_switched(fit, make_batch, tmp_path):
    trainer, module, _ = fit(functools.partial(AveragedSGD, lr=0.5))
    (optimizer,) = trainer.optimizers
    optimizer.train()
    loader = DataLoader([make_batch(size=24)], batch_size=None)
    trainer.validate(module, loader, ckpt_path=tmp_path / "last.ckpt", weights_only=True, verbose=False)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    for name, weights in module.state_dict().items():
        assert torch.equal(weights, kept[name]), name


def test_parameters_below_a_module_with_its_own_scale_have_that_rate():
    inner = nn.Sequential(nn.Linear(2, 2))
    inner.lr_scale = 0.5
    outer = nn.Sequential(nn.Linear(2, 2), inner, nn.Linear(2, 2))
    outer.lr_scale = 0.1
    module = nn.ModuleList([nn.Linear(2, 2), outer])
    optimizer = build_optimizer(functools.partial(torch.optim.AdamW, lr=1.0, weight_decay=0.3), module)
    rates = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    assert len(rates) == len(list(module.parameters()))
    for layer, lr in ((module[0], 1.0), (outer[0], 0.1), (inner[0], 0.5), (outer[2], 0.1)):
        assert rates[id(layer.weight)]["lr"] == rates[id(layer.bias)]["lr"] == lr
        assert rates[id(layer.weight)]["weight_decay"] == 0.3
        assert rates[id(layer.bias)]["weight_decay"] == 0
