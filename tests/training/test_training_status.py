import lightning
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from sigjepa.store.progress import observed
from sigjepa.training.status import TrainingStatus


class Line(lightning.LightningModule):
    """Fits one number."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_index):
        return (batch[0] - self.weight).square().mean()

    def validation_step(self, batch, batch_index):
        self.log("val/rank10", 0.25 * (self.current_epoch + 1))

    def test_step(self, batch, batch_index):
        self.log("test/rank10", 0.5)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Listener:
    """Notes each stage that is over, with how far it came, and what was open when it began."""

    def __init__(self):
        self.open, self.over = [], []

    def began(self, stage):
        self.open.append(stage)

    def ended(self, stage):
        self.open.remove(stage)
        self.over.append((stage.name, stage.done, stage.total, [one.name for one in self.open]))
        self.last = stage


@pytest.fixture
def listener():
    listener = Listener()
    with observed(listener):
        yield listener


@pytest.fixture
def trainer(tmp_path):
    def make(**options):
        options = {"accelerator": "cpu", "max_epochs": 2, "num_sanity_val_steps": 0, "logger": False} | options
        callbacks = [TrainingStatus(), *options.pop("callbacks", [])]
        return lightning.Trainer(default_root_dir=tmp_path, callbacks=callbacks, enable_model_summary=False, **options)

    return make


LOADER = DataLoader(TensorDataset(torch.ones(12, 1)), batch_size=4)


def test_fitting_is_one_stage_with_validation_within(trainer, listener, capsys):
    trainer().fit(Line(), LOADER, LOADER)
    assert listener.over == [("validate", 3, 3, ["train"])] * 2 + [("train", 6, 6, [])]
    facts = listener.last.facts
    assert (facts["epoch"], facts["step"], facts["val/rank10"]) == (1, 6, 0.5)
    assert facts["last_checkpoint"].startswith("20")
    assert "it/s" not in "".join(capsys.readouterr())  # Lightning's bar is for a terminal


def test_testing_is_a_stage_of_its_own(trainer, listener):
    trainer().test(Line(), LOADER)
    assert listener.over == [("test", 3, 3, [])]


def test_a_run_that_goes_on_counts_its_rate_from_where_it_stopped(trainer, listener, tmp_path):
    first = trainer(max_epochs=1)
    first.fit(Line(), LOADER, LOADER)
    first.save_checkpoint(tmp_path / "last.ckpt")
    trainer().fit(Line(), LOADER, LOADER, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert listener.over[-1] == ("train", 6, 6, [])
    assert listener.last.initial == 3


def test_a_run_that_fails_leaves_no_stage_open(trainer, listener):
    class Broken(Line):
        def validation_step(self, batch, batch_index):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        trainer().fit(Broken(), LOADER, LOADER)
    assert not listener.open
    assert [name for name, *_ in listener.over] == ["validate", "train"]


def test_a_trainer_without_a_bar_or_an_end_is_no_trouble(trainer, listener):
    trainer(enable_progress_bar=False, max_epochs=-1, max_steps=4, enable_checkpointing=False).fit(Line(), LOADER)
    assert listener.over == [("train", 4, 4, [])]
