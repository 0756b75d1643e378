import functools
import math

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.collapse import effective_rank
from sigjepa.evaluation.metrics import RankMetric, default_metrics, rank_figures
from sigjepa.evaluation.ranks import pool_ranks
from sigjepa.losses.infonce import InfoNCE
from sigjepa.losses.loss import LossTerm, Progress
from sigjepa.losses.token_smooth_l1 import TokenSmoothL1
from sigjepa.models.predictor import SigPredictor
from sigjepa.models.token_predictor import TokenPredictor
from sigjepa.training.callbacks import MetricsTable
from sigjepa.training.loggers import wandb_logger
from sigjepa.training.module import SigJepaModule
from sigjepa.training.optimizer import warmup_cosine

SMALL = {"teacher_dim": 8, "hidden_dim": 16, "heads": 2, "feedforward_dim": 32, "dropout": 0.0}


class Constant(nn.Module):
    """A loss term of a fixed value that depends on the prediction in name only, and on the step for NaN."""

    def __init__(self, value=1.0, weight=1.0, nan_at=None):
        super().__init__()
        self.value, self.weight, self.nan_at = value, weight, nan_at

    def forward(self, prediction, batch, progress):
        value = math.nan if progress.step == self.nan_at else self.value
        return LossTerm(prediction.pooled.sum() * 0 + value, {"step": float(progress.step)})


def make_module(losses, model=None, lr=1e-2, scheduler=warmup_cosine, **measured):
    optimizer = functools.partial(torch.optim.AdamW, lr=lr)
    return SigJepaModule(model or SigPredictor(**SMALL), losses, optimizer, scheduler, {"seed": 0}, **measured)


def make_trainer(tmp_path, epochs, *callbacks, **options):
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[*callbacks, ModelCheckpoint(tmp_path, "best", monitor="val/rank10", mode="max", save_last=True)],
        default_root_dir=tmp_path,
        **options,
    )


@pytest.fixture
def loader(make_batch):
    """Three batches of eight."""

    def make(**options):
        batches = [make_batch(size=8, seed=seed, first_id=8 * seed, **options) for seed in range(3)]
        return DataLoader(batches, batch_size=None)

    return make


def test_learns_to_rank_what_it_has_seen(loader, tmp_path):
    lightning.seed_everything(0, verbose=False)
    module = make_module({"infonce": InfoNCE()})
    trainer = make_trainer(tmp_path, 40, check_val_every_n_epoch=20)
    trainer.fit(module, loader(), loader())
    assert trainer.callback_metrics["val/rank1"] > 0.5  # chance is 1/24
    assert trainer.callback_metrics["train/infonce"] < 0.5 * trainer.callback_metrics["train/first_loss"]
    assert module.losses["infonce"].log_temperature.item() != pytest.approx(math.log(0.07))


def test_sums_weighted_terms_and_logs_each(loader, tmp_path):
    module = make_module({"one": Constant(2.0, weight=0.5), "two": Constant(3.0, weight=2.0)})
    trainer = make_trainer(tmp_path, 2)
    trainer.fit(module, loader(), loader())
    metrics = trainer.callback_metrics
    assert metrics["train/loss"] == pytest.approx(0.5 * 2 + 2 * 3)
    assert metrics["train/one"] == pytest.approx(2)
    assert metrics["train/two"] == pytest.approx(3)
    assert metrics["train/two_step"] == pytest.approx(4)  # steps 3, 4, 5 of the second epoch
    assert metrics["train/first_loss"] == pytest.approx(7)


def test_schedules_see_the_fraction_of_the_epoch_that_is_done(loader, tmp_path):
    seen = []

    class Epochs(Constant):
        def forward(self, prediction, batch, progress):
            seen.append((progress.step, progress.epoch))
            return super().forward(prediction, batch, progress)

    make_trainer(tmp_path, 2).fit(make_module({"one": Epochs()}), loader(), loader())
    assert dict(seen) == pytest.approx({step: step / 3 for step in range(6)})


def test_ranks_are_those_of_the_whole_pool(loader, tmp_path, make_batch):
    module = make_module({"infonce": InfoNCE()})
    trainer = make_trainer(tmp_path, 1)
    trainer.validate(module, loader(), verbose=False)
    batches = [make_batch(size=8, seed=seed) for seed in range(3)]
    with torch.no_grad():
        predictions = torch.cat([module.eval()(batch).pooled for batch in batches])
    expected = pool_ranks(predictions, torch.cat([batch.body_pooled for batch in batches]))
    evaluated = module.evaluated["val"]
    assert evaluated.ids.tolist() == list(range(24))
    assert evaluated.ranks.optimistic.tolist() == expected.optimistic.tolist()
    torch.testing.assert_close(torch.from_numpy(evaluated.predictions), predictions)
    assert trainer.callback_metrics["val/effective_rank"] == pytest.approx(effective_rank(predictions), rel=1e-4)
    assert trainer.callback_metrics["val/rank10"] == pytest.approx(rank_figures(expected)["rank10"])


@pytest.mark.parametrize(
    ("key", "summary"),
    [
        *((f"val/{name}", "max") for name in ("rank1", "rank10", "mrr", "cosine")),
        *((f"train/{name}", "min") for name in ("loss", "step_loss", "infonce", "infonce_mined", "my_term")),
        *((f"train/{name}", None) for name in ("infonce_mined_mass", "first_loss", "gradient_norm", "other_term")),
        *((key, None) for key in ("val/effective_rank", "test/rank10", "epoch")),
        ("val/place", "min"),
    ],
)
def test_a_figure_is_summed_up_by_the_best_that_it_reached(key, summary):
    place = RankMetric("place", lambda ranks: ranks.optimistic, direction="min")
    module = make_module({"infonce": InfoNCE(), "my_term": Constant()}, metrics={**default_metrics(), "place": place})
    assert module.summaries().get(key) == summary


def test_loggers_are_told_what_is_best(loader, tmp_path):
    logger = wandb_logger("project", "name", "group", str(tmp_path), mode="disabled")
    trainer = make_trainer(tmp_path, 1)
    trainer.loggers = [logger]
    module = make_module({"infonce": InfoNCE()})
    trainer.fit(module, loader(), loader())
    assert logger.summaries == module.summaries()


def test_what_selects_must_be_measured_on_val():
    with pytest.raises(SigjepaError, match="monitor=val/rank20"):
        make_module({"infonce": InfoNCE()}, monitor="val/rank20")


class SeenByCallbacks(lightning.Callback):
    """Keeps what a callback finds when a pass over a split ends, beside what the student predicts then."""

    def __init__(self, batches):
        self.batches, self.epochs = batches, []

    def on_validation_epoch_end(self, trainer, pl_module):
        predictions = torch.cat([pl_module(batch).pooled for batch in self.batches])
        evaluated = pl_module.evaluated["val"]
        torch.testing.assert_close(torch.from_numpy(evaluated.predictions), predictions)
        expected = pool_ranks(predictions, torch.cat([batch.body_pooled for batch in self.batches]))
        assert evaluated.ranks.optimistic.tolist() == expected.optimistic.tolist()
        self.epochs.append(float(trainer.callback_metrics["val/mrr"]))

    def on_test_epoch_end(self, trainer, pl_module):
        assert len(pl_module.evaluated["test"].ids) == 24


@pytest.mark.parametrize("sanity", [0, 1])
def test_a_callback_sees_the_ranks_of_this_epoch(loader, tmp_path, sanity):
    batches = list(loader())
    seen, table = SeenByCallbacks(batches[:1] if sanity else batches), MetricsTable(tmp_path / "metrics.csv")
    trainer = make_trainer(tmp_path, 3, seen, table)
    trainer.num_sanity_val_steps, trainer.limit_val_batches = sanity, 1 if sanity else 1.0
    module = make_module({"infonce": InfoNCE()})
    trainer.fit(module, loader(), loader())
    assert seen.epochs[sanity:] == [row["val/mrr"] for row in table.rows]
    assert len(set(seen.epochs)) > 1
    trainer.test(module, loader(), verbose=False)


def test_what_an_interrupted_pass_has_collected_is_forgotten(loader, tmp_path):
    class Interrupts(lightning.Callback):
        def on_validation_batch_end(self, *arguments):
            raise RuntimeError("interrupted")

    module = make_module({"infonce": InfoNCE()})
    with pytest.raises(RuntimeError):
        make_trainer(tmp_path, 1, Interrupts()).validate(module, loader(), verbose=False)
    make_trainer(tmp_path, 1).validate(module, loader(), verbose=False)
    assert len(module.evaluated["val"].ids) == 24


class GradientNorms(lightning.Callback):
    """Keeps the norm of the gradient that the optimizer has just used."""

    def __init__(self):
        self.norms = []

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        squares = [p.grad.square().sum() for p in pl_module.parameters() if p.grad is not None]
        if squares:
            self.norms.append(float(torch.stack(squares).sum().sqrt()))


@pytest.mark.parametrize("limit", [None, 1e-3])
def test_gradient_norm_is_that_of_the_whole_gradient_before_clipping(loader, tmp_path, limit):
    used = GradientNorms()
    trainer = make_trainer(tmp_path, 1, used)
    trainer.gradient_clip_val = limit
    module = make_module({"infonce": InfoNCE()}, lr=0.0)
    trainer.fit(module, loader(), loader())
    norms = []
    for batch in loader():
        module.zero_grad()
        module.losses["infonce"](module(batch), batch, Progress(0, 0)).value.backward()
        norms.append(float(nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])))
    assert float(trainer.callback_metrics["train/gradient_norm"]) == pytest.approx(sum(norms) / 3, rel=1e-4)
    assert all(norm <= (limit or math.inf) * 1.001 for norm in used.norms)


def test_a_nan_loss_stops_with_step_and_term_and_keeps_the_last_good_checkpoint(loader, tmp_path):
    lightning.seed_everything(0, verbose=False)
    module = make_module({"infonce": InfoNCE(), "fragile": Constant(nan_at=7)})
    with pytest.raises(SigjepaError, match=r"'fragile'.* step 7 .*epoch 2"):
        make_trainer(tmp_path, 5).fit(module, loader(), loader())
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["epoch"] == 1
    assert saved["global_step"] == 6


def test_token_level_student_learns_both_terms(loader, tmp_path):
    lightning.seed_everything(0, verbose=False)
    module = make_module({"infonce": InfoNCE(), "token_smooth_l1": TokenSmoothL1()}, TokenPredictor(**SMALL))
    table = MetricsTable(tmp_path / "metrics.csv")
    make_trainer(tmp_path, 10, table).fit(module, loader(body_tokens=5), loader(body_tokens=5))
    for name in ("train/infonce", "train/token_smooth_l1"):
        assert table.rows[-1][name] < table.rows[0][name]
    assert [row["epoch"] for row in table.rows] == list(range(10))


def test_in_evaluation_no_body_is_looked_at(make_batch):
    module = make_module({"infonce": InfoNCE()}, TokenPredictor(**SMALL))
    batch = make_batch(body_tokens=5)
    assert module.train()(batch).states.shape == (6, 5, 8)
    assert module.eval()(batch).states is None


def test_checkpoints_load_with_weights_only(loader, tmp_path):
    module = make_module({"infonce": InfoNCE()})
    make_trainer(tmp_path, 1).fit(module, loader(), loader())
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"] == {"seed": 0}
    assert "losses.infonce.log_temperature" in checkpoint["state_dict"]
    assert torch.isfinite(checkpoint["state_dict"]["first_loss"])


def test_the_learning_rate_can_stay_as_it_is(loader, tmp_path):
    module = make_module({"infonce": InfoNCE()}, scheduler=None)
    trainer = make_trainer(tmp_path, 2)
    trainer.fit(module, loader(), loader())
    assert trainer.optimizers[0].param_groups[0]["lr"] == 1e-2


def test_a_student_with_its_own_view_of_bodies_trains_in_one_process(monkeypatch):
    class Encodes(SigPredictor):
        def body_views(self, body_pooled, body_terms):
            return body_pooled

    module = make_module({"infonce": InfoNCE()}, Encodes(**SMALL))
    monkeypatch.setattr("sigjepa.training.module.world_size", lambda: 2)
    with pytest.raises(SigjepaError, match=r" 2.*trainer\.devices=1"):
        module.on_fit_start()


def test_no_loss_term_is_an_error():
    with pytest.raises(SigjepaError, match="loss="):
        make_module({})


def test_a_function_that_is_evaluated_twice_is_an_error(make_batch, tmp_path):
    loader = DataLoader([make_batch(size=8, first_id=0), make_batch(size=8, first_id=4)], batch_size=None)
    with pytest.raises(SigjepaError, match="val.* id 4"):
        make_trainer(tmp_path, 1).validate(make_module({"infonce": InfoNCE()}), loader, verbose=False)
