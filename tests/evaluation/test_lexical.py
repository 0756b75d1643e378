import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.lexical import bm25_scorer

BODIES = ["read json file", "read file", "write json to file now"]


def naive_score(query, words, documents, k1=1.5, b=0.75):
    mean_length = np.mean([len(document) for document in documents])
    total = 0.0
    for word in query:
        holding = sum(word in document for document in documents)
        inverse = np.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
        count = words.count(word)
        total += inverse * count / (count + k1 * (1 - b + b * len(words) / mean_length))
    return total


def test_bm25_equals_the_formula():
    documents = [body.split() for body in BODIES]
    scores = bm25_scorer(["def readJSON():", "def unknown():"], BODIES)(torch.arange(2))
    expected = [[naive_score(["read", "json"], words, documents) for words in documents], [0.0] * 3]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-5)


def test_the_rows_of_a_block_are_those_asked_for():
    score = bm25_scorer([f"def {body.replace(' ', '_')}():" for body in BODIES], BODIES)
    every = score(torch.arange(3))
    for rows in ([2], [1, 0], []):
        assert torch.equal(score(torch.tensor(rows, dtype=torch.int64)), every[rows])


def test_a_pool_without_a_word_is_an_error():
    with pytest.raises(SigjepaError, match=r"BM25.*corpus\.source"):
        bm25_scorer(["def f():"], ["_ = ()"])


def test_jax_is_not_imported_where_it_is_installed(tmp_path):
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("raise SystemExit('jax was imported')")
    code = """
import sys
from sigjepa.evaluation.lexical import bm25_scorer
bm25_scorer(["def f(a):"], ["return a"])
assert "bm25s" in sys.modules and "jax" not in sys.modules
"""
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], check=False, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0
