"""Exact search on a GPU, played by a fake faiss: when it is taken, what it finds, and what happens when it fails."""

import logging
import sys
from types import SimpleNamespace

import faiss
import numpy as np
import pytest
from nearest import pairs_of

from sigjepa.negatives.mining.exact import ExactIndex


class FakeGpuIndex:
    """Finds what the CPU index finds, with scores as rough as another machine's."""

    def __init__(self, index, most):
        self.index, self.most, self.searches = index, most, 0

    def search(self, queries, count):
        self.searches += 1
        if count > self.most:
            raise RuntimeError("Error in faiss::gpu: k exceeds the limit\nstack trace")
        scores, rows = self.index.search(queries, count)
        return scores + np.float32(1e-6), rows


@pytest.fixture
def gpu(monkeypatch):
    """Replace faiss by one that has GPUs; returns what it was asked for."""

    def install(gpus=1, most=2048, fails=False, **without):
        state = SimpleNamespace(indexes=[])

        def index_cpu_to_all_gpus(index):
            if fails:
                raise RuntimeError("out of memory")
            state.indexes.append(FakeGpuIndex(index, most))
            return state.indexes[-1]

        names = {
            "get_num_gpus": lambda: gpus,
            "index_cpu_to_all_gpus": index_cpu_to_all_gpus,
            "IndexFlatIP": faiss.IndexFlatIP,
            "knn": faiss.knn,
            "METRIC_INNER_PRODUCT": faiss.METRIC_INNER_PRODUCT,
        }
        fake = SimpleNamespace(**{name: value for name, value in names.items() if name not in without})
        monkeypatch.setitem(sys.modules, "faiss", fake)
        return state

    return install


EMBEDDINGS = np.random.default_rng(0).integers(-2, 3, size=(200, 6)).astype(np.float32) + np.float32(0.5)  # with ties


def found(**limits):
    pairs = pairs_of(EMBEDDINGS, np.arange(200), **{"top_k": 5, "min_cosim": 0.3, "block_size": 64, **limits})
    return pairs.anchor_ids.tolist(), pairs.neighbor_ids.tolist(), pairs.cosim.tolist(), pairs.highest_cosim


def test_a_gpu_is_used_and_finds_the_pairs_of_the_cpu(gpu, caplog):
    on_cpu = found()
    state = gpu(gpus=2)
    with caplog.at_level(logging.INFO):
        assert found() == on_cpu
    assert [index.searches for index in state.indexes] == [4]
    assert "Exact search of 200 vectors on 2 GPUs" in caplog.text


def test_a_gpu_that_cannot_hold_the_vectors_is_given_up(gpu, caplog):
    on_cpu = found()
    gpu(fails=True)
    assert found() == on_cpu
    assert "faiss failed on the GPU (out of memory): exact search goes on on the CPU." in caplog.text


def test_a_gpu_that_fails_while_searching_is_given_up_once(gpu, caplog):
    on_cpu = found(top_k=20)
    state = gpu(most=10)
    assert found(top_k=20) == on_cpu
    assert state.indexes[0].searches == 1
    assert caplog.text.count("faiss failed on the GPU (Error in faiss::gpu: k exceeds the limit)") == 1


@pytest.mark.parametrize(
    "machine",
    [{"gpus": 0}, {"get_num_gpus": None}, {"index_cpu_to_all_gpus": None}],
    ids=["none", "cpu build", "mixed"],
)
def test_without_a_gpu_nothing_is_said(gpu, caplog, machine):
    on_cpu = found()
    state = gpu(**machine)
    with caplog.at_level(logging.INFO):
        assert found() == on_cpu
    assert not state.indexes
    assert not caplog.records


def test_the_cpu_copies_no_vector():
    matrix = EMBEDDINGS.copy()
    index = ExactIndex(matrix)
    matrix[:] = matrix[::-1].copy()  # an index with a copy would not see it
    _, rows = index.search(matrix[:1], 1)
    scores = matrix @ matrix[0]
    assert scores[rows[0, 0]] == scores.max()
