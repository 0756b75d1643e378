import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.corpus.corpus import SCHEMA
from sigjepa.corpus.folds import Fold, FoldStage, assign_folds, chosen_fold, fold_splits
from sigjepa.corpus.sources.folder import Folder
from sigjepa.corpus.stage import CorpusStage
from sigjepa.errors import SigjepaError
from sigjepa.store.store import Store

SHARES = {"train": 0.75, "val": 0.25}
CORPORA = st.integers(3, 6).flatmap(
    lambda folds: st.tuples(
        st.just(folds), st.dictionaries(st.text("abcdef", min_size=1), st.integers(1, 500), min_size=folds)
    )
)
"""Three folds or more, and repositories enough for them with their numbers of functions."""


@given(CORPORA, st.integers(0, 5))
def test_every_repository_is_test_in_exactly_one_fold(corpus, seed):
    folds, sizes = corpus
    splits = [fold_splits(sizes, Fold(folds, fold), SHARES, seed) for fold in range(folds)]
    assert all(set(each) == set(sizes) for each in splits)
    assert {name: sum(each[name] == "test" for each in splits) for name in sizes} == dict.fromkeys(sizes, 1)
    assert all(set(each.values()) == {"train", "val", "test"} for each in splits)


@given(CORPORA, st.integers(0, 5))
def test_no_two_folds_differ_by_more_than_the_largest_repository(corpus, seed):
    folds, sizes = corpus
    assigned = assign_folds(sizes, folds, seed)
    held = [sum(size for name, size in sizes.items() if assigned[name] == fold) for fold in range(folds)]
    assert max(held) - min(held) <= max(sizes.values())


@given(CORPORA, st.integers(0, 5), st.randoms())
def test_folds_depend_on_no_order(corpus, seed, random):
    folds, sizes = corpus
    shuffled = list(sizes.items())
    random.shuffle(shuffled)
    assert assign_folds(dict(shuffled), folds, seed) == assign_folds(sizes, folds, seed)


def test_the_seed_decides_between_equal_repositories():
    sizes = {f"r{number}": 60 for number in range(100)}
    assert assign_folds(sizes, 5, 0) != assign_folds(sizes, 5, 1)


def test_two_folds_are_halves():
    sizes = {f"r{number}": 60 for number in range(10)}
    assert sorted(assign_folds(sizes, 2, 0).values()) == 5 * [0] + 5 * [1]


def test_train_and_val_share_the_rest_by_their_shares():
    sizes = {f"r{number}": 60 for number in range(100)}
    splits = list(fold_splits(sizes, Fold(5, 0), SHARES, 0).values())
    assert [splits.count(split) for split in ("train", "val", "test")] == [60, 20, 20]


@pytest.mark.parametrize(
    ("folds", "fold", "named"),
    [
        (None, 0, ["fold=0 without folds", "folds=5"]),
        (5, None, ["folds=5 without fold", "fold=0 to fold=4"]),
        (5, 5, ["fold=5", "folds=5", "fold=0 to fold=4"]),
        (5, -1, ["fold=-1"]),
        (5, "0", ["fold=0"]),
        (1, 0, ["folds=1", "at least 2"]),
        (True, 0, ["folds=True"]),
        (2.5, 0, ["folds=2.5"]),
    ],
)
def test_what_is_no_fold_is_named(folds, fold, named):
    with pytest.raises(SigjepaError) as error:
        chosen_fold(folds, fold)
    assert [each for each in named if each not in str(error.value)] == []


def test_without_folds_a_corpus_keeps_its_splits():
    assert chosen_fold(None, None) is None
    assert chosen_fold(5, 4) == Fold(5, 4)


@pytest.mark.parametrize(
    ("sizes", "folds"),
    [
        ({"one": 5, "two": 6}, 3),
        ({"one": 5, "two": 6}, 2),
        ({"one": 5, "two": 6, "three": 7}, 2),
        ({"giant": 9, "a": 1, "b": 1, "c": 1}, 2),
    ],
)
def test_too_few_repositories_name_the_key(sizes, folds):
    with pytest.raises(SigjepaError, match=f"folds={folds} .*{len(sizes)}"):
        assign_folds(sizes, folds, 0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The store and the corpus of five packages with 4 to 8 functions."""
    folder = tmp_path_factory.mktemp("sources")
    for number, name in enumerate("abcde"):
        (folder / name).mkdir()
        for function in range(4 + number):
            lines = "".join(f"    y{i} = x['{name}{function}_{i}']\n" for i in range(3))
            (folder / name / f"m{function}.py").write_text(f"def f{function}(x):\n{lines}    return x\n")
    store = Store(tmp_path_factory.mktemp("data"))
    stage = CorpusStage(Folder([str(folder / name) for name in "abcde"]))
    return store, store.get(stage)


def test_folds_are_views_of_one_corpus_that_differ_in_splits_alone(whole):
    store, corpus = whole
    folds = [store.get(FoldStage(corpus, Fold(3, fold))) for fold in range(3)]
    names = [name for name in SCHEMA.names if name != "split"]
    for each in folds:
        assert [*each.tables(names)] == [*corpus.tables(names)]
        assert each.manifest.upstream == {"corpus": corpus.reference}
        counts = each.manifest.facts["counts"]["splits"]
        assert counts == {split: len(each.ids(split)) for split in ("train", "val", "test")}
        assert f"hash {each.hash}" in each.summary_table()
    assert len({corpus.hash, *(each.hash for each in folds)}) == 4
    pools = np.concatenate([each.ids("test") for each in folds])
    assert sorted(pools) == list(range(len(corpus)))


def test_a_fold_is_found_again_and_another_is_another(whole):
    store, corpus = whole
    first, again, other = (store.get(FoldStage(corpus, Fold(2, fold))) for fold in (0, 0, 1))
    assert first.folder == again.folder != other.folder
    assert store.missing(FoldStage(corpus, Fold(2, 0))) == []
    assert "fold-0-of-2" in first.folder.name


def test_folds_of_too_few_packages_leave_nothing(whole):
    store, corpus = whole
    stage = FoldStage(corpus, Fold(6, 0))
    with pytest.raises(SigjepaError, match="folds=6 .* 5"):
        store.get(stage)
    assert store.missing(stage) != []
