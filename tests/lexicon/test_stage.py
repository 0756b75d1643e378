import logging
import pickle

import numpy as np
import pytest

from sigjepa.corpus.folds import Fold, FoldStage
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.pools import read_pools
from sigjepa.lexicon.function_terms import TABLES, extract_terms
from sigjepa.lexicon.stage import LexiconStage
from sigjepa.lexicon.terms import term_hash
from sigjepa.store.executors.local import Local
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.store import Store


class Texts:
    """A corpus of some functions."""

    undivided = Reference("corpus", "texts", "texts", "texts")

    def __init__(self, signatures, bodies):
        self.columns = {"signature": signatures, "body": bodies}

    def __len__(self):
        return len(self.columns["body"])

    def column(self, name, rows=slice(None)):
        return self.columns[name][rows]


def assert_equal(terms, expected):
    for name, array in expected.arrays().items():
        np.testing.assert_array_equal(terms.arrays()[name], array, err_msg=name)


def test_the_lexicon_of_a_corpus_is_the_terms_of_its_functions(tiny_data, tmp_path):
    corpus = tiny_data.corpus
    store = Store(tmp_path)
    stage = LexiconStage(corpus, functions_per_part=150)
    lexicon = store.get(stage)
    assert lexicon.manifest.inputs["corpus"] == corpus.hash
    assert_equal(lexicon.terms, extract_terms(corpus.column("signature"), corpus.column("body"))[0])
    ids = np.array([7, 3, 3])
    signatures, bodies = ([corpus.column(half)[i] for i in ids] for half in ("signature", "body"))
    assert_equal(lexicon.terms.take(ids), extract_terms(signatures, bodies)[0])
    assert len(lexicon.terms) == len(corpus)
    manifest = Manifest.read(store.folder(stage))
    assert manifest.upstream == {"corpus": corpus.reference}
    assert manifest.facts["functions"] == len(corpus)
    assert_equal(pickle.loads(pickle.dumps(lexicon)).terms, lexicon.terms)


def test_all_folds_share_the_lexicon(tiny_data, tmp_path, monkeypatch):
    store = Store(tmp_path)
    whole = store.get(LexiconStage(tiny_data.corpus))
    monkeypatch.setattr(LexiconStage, "build", None)
    for fold in range(2):
        corpus = store.get(FoldStage(tiny_data.corpus, Fold(2, fold)))
        lexicon = store.get(LexiconStage(corpus))
        assert lexicon.reference == whole.reference
        read_pools(corpus, tiny_data.shards, lexicon)


def test_processes_write_the_same_bytes(tiny_data, tmp_path):
    stage = LexiconStage(tiny_data.corpus, functions_per_part=200)
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there", Local(2))
    assert here.get(stage).reference == there.get(stage).reference


def test_every_free_name_of_a_real_body_is_one_of_its_bare_names(tiny_data):
    terms = extract_terms(tiny_data.corpus.column("signature"), tiny_data.corpus.column("body"))[0]
    for inner, outer in [("free_names", "body_names"), ("parameters", "signature_names")]:
        small, large = getattr(terms, inner), getattr(terms, outer)
        pairs = [set(zip(table.functions.tolist(), table.terms.tolist(), strict=True)) for table in (small, large)]
        assert pairs[0]
        assert pairs[0] <= pairs[1]


def test_code_of_another_language_has_words_alone_and_is_counted(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    texts = Texts(["function addOne(x)", "def f(x):"], ["{ return x + 1; }", "return x"])
    store = Store(tmp_path)
    stage = LexiconStage(texts)
    lexicon = store.get(stage)
    facts = Manifest.read(store.folder(stage)).facts
    assert (facts["unparsed_signatures"], facts["unparsed_bodies"]) == (1, 1)
    assert "1 of 2 signatures" in caplog.text
    assert "1 of 2 bodies" in caplog.text
    for table in ("parameters", "free_names", "super_calls"):
        assert getattr(lexicon.terms, table).offsets[1] == 0
    assert term_hash("add") in lexicon.terms.signature_words.terms[: lexicon.terms.signature_words.offsets[1]]


def test_functions_without_any_term(tmp_path):
    terms, _ = extract_terms(["", "def f():"], ["", "..."])
    assert len(terms) == 2
    assert all(len(getattr(terms, name)) == 2 for name in TABLES)
    assert not len(terms.body_words.terms)


def test_an_empty_corpus_and_empty_parts_are_refused():
    with pytest.raises(SigjepaError, match=r"corpus\.source"):
        LexiconStage(Texts([], [])).inputs()
    with pytest.raises(SigjepaError, match="functions_per_part"):
        LexiconStage(Texts(["def f():"], ["pass"]), functions_per_part=0).inputs()
