import functools

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from sigjepa.errors import SigjepaError
from sigjepa.losses.infonce import InfoNCE
from sigjepa.models.predictor import SigPredictor
from sigjepa.training.best_checkpoint import check_same_score, evaluate_best
from sigjepa.training.module import SigJepaModule


@pytest.fixture
def trained(make_batch, tmp_path):
    """A student that was trained on what it is tested by: its trainer, module, datamodule and best checkpoint."""
    batches = DataLoader([make_batch(24)], batch_size=None)
    datamodule = lightning.LightningDataModule.from_datasets()
    datamodule.train_dataloader = datamodule.val_dataloader = datamodule.test_dataloader = lambda: batches
    student = SigPredictor(teacher_dim=8, hidden_dim=16, heads=2, feedforward_dim=32, dropout=0.0)
    optimizer = functools.partial(torch.optim.AdamW, lr=1e-2)
    module = SigJepaModule(student, {"infonce": InfoNCE()}, optimizer, monitor="val/mrr")
    options = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0, "logger": False}
    best = ModelCheckpoint(tmp_path, "best", monitor="val/mrr", mode="max")
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=30, log_every_n_steps=1, default_root_dir=tmp_path, callbacks=[best], **options
    )
    lightning.seed_everything(0, verbose=False)
    trainer.fit(module, datamodule=datamodule)
    return trainer, module, datamodule, tmp_path / "best.ckpt"


def test_the_best_checkpoint_is_tested(trained):
    trainer, module, datamodule, _ = trained
    figures = evaluate_best(trainer, module, datamodule)
    assert (
        figures["val/mrr"] == figures["test/mrr"] == pytest.approx(float(trainer.checkpoint_callback.best_model_score))
    )


def test_a_best_checkpoint_that_another_epoch_has_overwritten_is_not_tested(trained):
    trainer, module, datamodule, path = trained
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"] = {name: torch.randn_like(value) for name, value in checkpoint["state_dict"].items()}
    torch.save(checkpoint, path)
    with pytest.raises(SigjepaError, match=r"best\.ckpt scores .* but the best epoch scored"):
        evaluate_best(trainer, module, datamodule)
    assert "test" not in module.evaluated


@pytest.mark.parametrize(("score", "queries", "same"), [(0.585, 5000, False), (0.595, 5000, True), (0.5, 14, True)])
def test_scores_may_be_hundredths_or_two_queries_apart(score, queries, same):
    if same:
        check_same_score(score, 0.6, queries, "best.ckpt")
    else:
        with pytest.raises(SigjepaError, match="best"):
            check_same_score(score, 0.6, queries, "best.ckpt")
