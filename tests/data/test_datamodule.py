from dataclasses import replace

import numpy as np
import pytest
import torch

from sigjepa.data.datamodule import FunctionDataModule, check_data_settings
from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.sampling import NegativeSampler


def loaded(loader):
    return list(loader)


def test_train_loader_serves_the_train_split_once_with_negatives(tiny_datamodule):
    corpus = tiny_datamodule.data.corpus
    batches = loaded(tiny_datamodule.train_dataloader())
    assert sorted(torch.cat([batch.ids for batch in batches]).tolist()) == corpus.ids("train").tolist()
    assert all(batch.negatives is not None and batch.body_states is not None for batch in batches)


def test_batches_with_body_states_are_bucketed_by_both_halves(tiny_datamodule):
    shards = tiny_datamodule.data.shards
    lengths = shards.signature_lengths + shards.body_lengths.clip(max=32)
    spreads = [lengths[batch.ids.numpy()].std() for batch in tiny_datamodule.train_dataloader()]
    ids = tiny_datamodule.data.corpus.ids("train")
    assert np.mean(spreads) < 0.5 * lengths[ids].std()


def test_negatives_never_come_from_val_or_test(tiny_datamodule):
    train = set(tiny_datamodule.data.corpus.ids("train").tolist())
    negatives = [batch.negatives.ids for batch in tiny_datamodule.train_dataloader()]
    assert set(torch.cat(negatives).tolist()) <= train
    assert len(torch.cat(negatives)) > 0


@pytest.mark.parametrize("split", ["val", "test"])
def test_eval_loaders_serve_their_split_once_without_negatives(tiny_datamodule, split):
    batches = loaded(getattr(tiny_datamodule, f"{split}_dataloader")())
    ids = torch.cat([batch.ids for batch in batches])
    assert sorted(ids.tolist()) == tiny_datamodule.data.corpus.ids(split).tolist()
    assert all(batch.negatives is None for batch in batches)


def test_batches_hold_the_shards_own_states(tiny_datamodule):
    shards = tiny_datamodule.data.shards
    batch = next(iter(tiny_datamodule.train_dataloader()))
    for row, function in enumerate(batch.ids.tolist()):
        assert torch.equal(batch.signature_states[row][batch.signature_mask[row]], shards.signature_states(function))
        assert torch.equal(batch.body_states[row][batch.body_mask[row]], shards.body_states(function)[:32])


def test_worker_processes_serve_the_same_batches(tiny_datamodule):
    def ids(workers):
        tiny_datamodule.num_workers = workers
        return [batch.ids.tolist() for batch in tiny_datamodule.train_dataloader()]

    try:
        assert ids(2) == ids(0)
    finally:
        tiny_datamodule.num_workers = 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("batch_size", 0), ("batch_size", -1), ("eval_batch_size", 0), ("bucket_batches", 0), ("bucket_batches", -1)),
        *(("max_body_states", 0), ("max_body_states", -1), ("max_train_functions", 0), ("max_train_functions", 0.5)),
        *(("shuffle_block", 0), ("shuffle_window", 0), ("random_bodies", -4), ("num_workers", -1), ("seed", -1)),
        *(("pool_seed", -1), ("device_resident", "yes")),
    ],
)
def test_a_setting_that_no_batch_can_be_made_of_is_named(name, value):
    with pytest.raises(SigjepaError, match=rf"data\.{name}={value}"):
        FunctionDataModule(None, **{name: value})


def test_settings_that_are_left_out_have_their_defaults():
    check_data_settings({"_target_": "own.DataModule", "random_bodies": 0, "max_body_states": None})


def test_figures_count_splits_and_coverage(tiny_datamodule):
    data = tiny_datamodule.data
    figures = data.figures()
    train = data.corpus.ids("train")
    covered = [function for function in train if len(data.hard_negatives.negatives_of(int(function)).ids)]
    assert figures["train_functions"] == len(train)
    assert figures["hard_negative_coverage"] == pytest.approx(len(covered) / len(train))
    assert 0 < figures["hard_negative_coverage"] < 1


def test_targets_of_identical_bodies_are_equal(tiny_datamodule):
    bodies = tiny_datamodule.data.corpus.column("body")
    groups = {}
    for function, body in enumerate(bodies):
        groups.setdefault(body, []).append(function)
    for members in groups.values():
        rows = tiny_datamodule.data.targets[torch.tensor(members)]
        assert (rows == rows[0]).all()
    targets = tiny_datamodule.data.targets
    assert targets.whole().equal(tiny_datamodule.data.shards.body_pooled[targets.owners])
    assert np.isfinite(targets.whole().numpy()).all()


def test_a_sample_of_train_is_drawn_by_the_seed_and_leaves_the_other_splits_alone(tiny_datamodule):
    data = tiny_datamodule.data
    train = set(data.corpus.ids("train").tolist())

    def served(seed):
        datamodule = FunctionDataModule(data, batch_size=8, max_train_functions=40, random_bodies=5, seed=seed)
        assert datamodule.figures()["train_functions"] == 40
        batches = loaded(datamodule.train_dataloader())
        ids = sorted(torch.cat([batch.ids for batch in batches]).tolist())
        assert set(torch.cat([batch.random.ids for batch in batches]).tolist()) <= set(ids)
        return ids

    assert served(0) == served(0)
    assert served(0) != served(1)
    assert len(set(served(0))) == 40
    assert set(served(0)) <= train
    assert sum(len(batch.ids) for batch in FunctionDataModule(data, max_train_functions=40).val_dataloader()) == len(
        data.corpus.ids("val")
    )


def test_a_sample_of_train_is_all_that_batches_bring_and_figures_count(tiny_datamodule):
    data = replace(
        tiny_datamodule.data, source=replace(tiny_datamodule.data.source, sampler=NegativeSampler(related=2))
    )
    datamodule = FunctionDataModule(data, batch_size=8, max_train_functions=60)

    def check():
        sample = datamodule.data.train_ids
        batches = loaded(datamodule.train_dataloader())
        brought = [rows.ids for batch in batches for rows in (batch.negatives, batch.related)]
        assert set(torch.cat(brought).tolist()) <= set(sample.tolist())
        covered = [batch.negatives.owners.any(dim=1) for batch in batches]
        assert 0 < torch.cat(covered).sum() == round(60 * datamodule.figures()["hard_negative_coverage"])

    check()
    datamodule.use_negatives(data.hard_negatives)  # as a resumed run does with those of a refresh
    check()
    assert sum(len(batch.ids) for batch in datamodule.eval_dataloader("train")) == 60


def test_a_sample_of_train_that_is_larger_than_train_is_refused(tiny_datamodule):
    with pytest.raises(SigjepaError, match="max_train_functions"):
        FunctionDataModule(tiny_datamodule.data, max_train_functions=10**6).figures()
