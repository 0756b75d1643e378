"""Hard negatives mined anew from the student's predictions, on real functions; without dropout, so that runs repeat."""

import functools
from dataclasses import replace

import lightning
import numpy as np
import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.losses.infonce import InfoNCE
from sigjepa.models.predictor import SigPredictor
from sigjepa.negatives.index.csr import CSR
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.mining.approximate import IVF
from sigjepa.negatives.mining.search import Search
from sigjepa.negatives.refresh import mine_predictions
from sigjepa.training.module import SigJepaModule
from sigjepa.training.refresh import RefreshNegatives, predict_train, shared_pairs
from sigjepa.training.resume import ResumeCheckpoint


class Served(lightning.Callback):
    """Remembers, by epoch, the hard negatives that batches brought."""

    def __init__(self):
        self.by_epoch = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        pairs = self.by_epoch.setdefault(trainer.current_epoch, set())
        for anchor, row in batch.negatives.owners.nonzero().tolist():
            pairs.add((int(batch.ids[anchor]), int(batch.negatives.ids[row])))


@pytest.fixture
def train(tiny_datamodule, tmp_path):
    """Train a small student for some epochs with a refresh every second; restores the shared datamodule."""
    original = tiny_datamodule.data

    def run(epochs, *callbacks, resume=None, every=2):
        tiny_datamodule.use_negatives(original.hard_negatives)
        lightning.seed_everything(0, verbose=False)
        student = SigPredictor(
            teacher_dim=tiny_datamodule.data.shards.dim, hidden_dim=16, heads=2, feedforward_dim=32, dropout=0.1
        )
        optimizer = functools.partial(torch.optim.AdamW, lr=1e-2)
        module = SigJepaModule(student, {"infonce": InfoNCE("per_anchor")}, optimizer)
        refresh, served = RefreshNegatives(every, tmp_path / "negatives"), Served()
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            callbacks=[refresh, served, *callbacks, ResumeCheckpoint(tmp_path / "last.ckpt", every_n_steps=1)],
        )
        trainer.fit(module, datamodule=tiny_datamodule, ckpt_path=resume, weights_only=resume is not None)
        return trainer, module, served, refresh

    yield run
    tiny_datamodule.use_negatives(original.hard_negatives)


@pytest.mark.parametrize("functions", [0, 50_000])
def test_it_mines_by_the_search_of_the_source(tiny_datamodule, tmp_path, monkeypatch, caplog, functions):
    """One cluster finds what an exact search finds, and few of many miss so much that the search is exact."""
    data, built = tiny_datamodule.data, []
    build = IVF.build
    monkeypatch.setattr(IVF, "build", lambda *arguments: built.append(arguments[2:]) or build(*arguments))
    ids = data.corpus.ids("train")
    predictions = torch.randn(len(ids), data.shards.dim, generator=torch.Generator().manual_seed(0)).numpy()

    def mined(source):
        places = {"corpus": data.corpus, "shards": data.shards, "data_dir": tmp_path}
        return mine_predictions(
            source, predictions, ids, data.targets.owners, data.hard_negatives, **places, provenance={"source": "test"}
        )

    source = replace(data.source, search=Search(functions, IVF(nlist=1)))
    exact, other = mined(data.source), mined(source)
    assert index_pairs(other) == index_pairs(exact)
    assert exact.metadata["search"] == {"method": "exact", "recall": 1.0}
    assert other.metadata["search"]["method"] == ("exact" if functions else "ivf")
    queries = [(top_k, min_cosim, given.ids.tolist()) for top_k, min_cosim, given in built]
    assert queries == ([] if functions else [(source.top_k, -1.0, ids.tolist())])
    short = replace(data.source, search=Search(functions, IVF(nlist=80, nprobe=1, min_recall=1.0)))
    assert index_pairs(mined(short)) == index_pairs(exact)
    assert ("This refresh searches exactly" in caplog.text) == (functions == 0)


def index_pairs(index):
    return set(zip(index.negatives.pair_keys().tolist(), index.negatives.values.tolist(), strict=True))


def test_negatives_are_the_bodies_that_the_student_confuses(train, tiny_datamodule, tmp_path):
    original = tiny_datamodule.data.hard_negatives
    train_ids = set(tiny_datamodule.data.corpus.ids("train").tolist())
    _, _, served, refresh = train(4)
    assert refresh.refreshed_epoch == 2
    mined = HardNegatives.load(tmp_path / "negatives" / "epoch_2")
    assert served.by_epoch[0] | served.by_epoch[1] <= index_pairs(original)
    assert served.by_epoch[2] | served.by_epoch[3] <= index_pairs(mined)
    assert not served.by_epoch[2] <= index_pairs(original)
    assert {i for pair in index_pairs(mined) for i in pair} <= train_ids
    assert all(anchor != negative for anchor, negative in index_pairs(mined))
    assert (mined.scores <= 1).all()
    assert "after 2 epochs" in mined.metadata["source"]
    related = set(zip(original.related.pair_keys().tolist(), original.related.values.tolist(), strict=True))
    assert related <= set(zip(mined.related.pair_keys().tolist(), mined.related.values.tolist(), strict=True))


def test_a_refreshed_pair_is_nearest_to_the_prediction(train, tiny_datamodule):
    trainer, module, _, _ = train(1)
    ids, predictions = predict_train(trainer, module, tiny_datamodule)
    assert ids.tolist() == tiny_datamodule.data.corpus.ids("train").tolist()
    assert module.training
    module.eval()
    batch = next(iter(tiny_datamodule.eval_dataloader("train")))
    with torch.no_grad():
        expected = module(batch).pooled
    rows = np.searchsorted(ids, batch.ids.numpy())
    torch.testing.assert_close(torch.from_numpy(predictions[rows]), expected, rtol=1e-4, atol=1e-5)


def test_a_sample_of_train_is_all_that_is_mined(tiny_datamodule, tmp_path):
    data = tiny_datamodule.data
    ids = data.corpus.ids("train")[::3]
    predictions = torch.randn(len(ids), data.shards.dim, generator=torch.Generator().manual_seed(0)).numpy()
    places = {"corpus": data.corpus, "shards": data.shards, "data_dir": tmp_path, "provenance": {"source": "test"}}
    mined = mine_predictions(data.source, predictions, ids, data.targets.owners, data.hard_negatives, **places)
    assert len(mined)
    assert {i for pair in index_pairs(mined) for i in pair} <= set(ids.tolist())
    assert mined.statistics()["train_functions"] == len(ids)


class KilledInEpoch(lightning.Callback):
    """Raises at the second step of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, 1):
            raise KeyboardInterrupt


def test_a_resumed_run_takes_up_the_negatives_it_had(train, tmp_path):
    with pytest.raises(SystemExit):  # Lightning's way to end
        train(4, KilledInEpoch(2))
    (tmp_path / "last.ckpt").rename(tmp_path / "in_two.ckpt")
    _, whole, served, _ = train(4)
    _, resumed, served_again, _ = train(4, resume=tmp_path / "in_two.ckpt")
    assert served_again.by_epoch[2] < served.by_epoch[2]
    assert served_again.by_epoch[3] == served.by_epoch[3]
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


class StopsAfter(lightning.Callback):
    """Ends training after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch == self.epoch


def test_without_a_last_epoch_there_is_always_one_to_come(train):
    _, _, _, refresh = train(-1, StopsAfter(2))
    assert refresh.refreshed_epoch == 2


def test_shared_pairs_is_a_share(tiny_datamodule):
    index = tiny_datamodule.data.hard_negatives
    assert shared_pairs(index, index) == 1.0
    first = CSR.from_sorted(index.negatives.pair_keys()[:1], index.negatives.values[:1])
    assert 0 < shared_pairs(index, replace(index, negatives=first)) < 1.0


def test_nothing_to_refresh_is_an_error(tiny_datamodule, train):
    data, tiny_datamodule.data = tiny_datamodule.data, replace(tiny_datamodule.data, source=None)
    try:
        with pytest.raises(SigjepaError, match="negatives=knn"):
            train(1)
    finally:
        tiny_datamodule.data = data


def test_a_period_below_one_is_an_error(tmp_path):
    with pytest.raises(SigjepaError, match="every_n_epochs"):
        RefreshNegatives(0, tmp_path)
