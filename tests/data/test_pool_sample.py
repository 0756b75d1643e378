"""Pools of a fixed size: a sample that only its seed decides, and what is said of it."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.data.datamodule import FunctionDataModule
from sigjepa.data.pool_sample import PoolSample
from sigjepa.errors import SigjepaError


def corpus_of(val, test):
    splits = {"val": np.arange(val) * 3, "test": np.arange(test) * 3 + 1}
    return SimpleNamespace(ids=splits.__getitem__)


@settings(max_examples=50, deadline=None)
@given(st.integers(11, 200), st.integers(0, 10**6), st.integers(11, 200), st.integers(11, 200))
def test_a_pool_is_a_sample_of_its_split_or_all_of_it(size, seed, val, test):
    corpus = corpus_of(val, test)
    sample = PoolSample(size, seed)
    said = sample.sample_texts(corpus)
    for split, functions in (("val", val), ("test", test)):
        ids = sample.ids(corpus, split)
        assert len(ids) == min(size, functions)
        assert (np.diff(ids) > 0).all()
        assert set(ids) <= set(corpus.ids(split))
        assert np.array_equal(ids, PoolSample(size, seed).ids(corpus, split))
        assert (split in said) == (size < functions)
        if split in said:
            assert said[split] == f"pool of {size} sampled of {functions}, seed {seed}"


def test_another_seed_draws_another_pool_and_null_takes_all():
    corpus = corpus_of(1000, 500)
    assert not np.array_equal(PoolSample(50).ids(corpus, "val"), PoolSample(50, 1).ids(corpus, "val"))
    assert len(PoolSample().ids(corpus, "val")) == 1000
    assert PoolSample().sample_texts(corpus) == PoolSample(1000).sample_texts(corpus) == {}


def test_train_is_never_sampled():
    corpus = SimpleNamespace(ids={"train": np.arange(100)}.__getitem__)
    assert len(PoolSample(50).ids(corpus, "train")) == 100


def test_every_function_of_the_pool_is_served_once_whatever_the_seed_of_the_run(tiny_datamodule):
    data = tiny_datamodule.data
    for seed in (0, 1):
        datamodule = FunctionDataModule(data, pool_size=12, seed=seed)
        figures = datamodule.figures()
        for split in ("val", "test"):
            served = np.concatenate([batch.ids.numpy() for batch in datamodule.eval_dataloader(split)])
            assert sorted(served.tolist()) == PoolSample(12).ids(data.corpus, split).tolist()
            assert figures[f"{split}_functions"] == 12
    assert {"val_pool", "test_pool"} <= datamodule.data.hashes().keys()
    assert not {"val_pool", "test_pool"} & data.hashes().keys()


@pytest.mark.parametrize("size", [10, 11.5, "abc"])
def test_a_pool_too_small_for_its_ranks_is_refused(size):
    with pytest.raises(SigjepaError, match=f"data.pool_size={size} .*11"):
        PoolSample(size)


@pytest.mark.parametrize("seed", [-1, 1.5, "abc", None])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(SigjepaError, match=f"data.pool_seed={seed} .*0"):
        PoolSample(20, seed)
