"""The data of a run is of one corpus, or there is none: rows of other functions would be taken for these."""

from dataclasses import replace

import pytest

from sigjepa.corpus.folds import Fold, FoldStage
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.pools import read_pools
from sigjepa.negatives.mining.stage import MinedPairsStage
from sigjepa.store.store import Store


def of_another(artifact):
    """The artifact, built from other functions of the same number."""
    return type(artifact)(replace(artifact.manifest, inputs={**artifact.manifest.inputs, "corpus": "another"}))


@pytest.mark.parametrize("name", ["shards", "opened_lexicon"])
def test_artifacts_of_another_corpus_are_refused(tiny_data, name):
    data = replace(tiny_data, opened_lexicon=tiny_data.lexicon)
    foreign = of_another(getattr(data, name))
    with pytest.raises(SigjepaError, match=f"{foreign.folder} is of the corpus another, not of {data.corpus.hash}"):
        replace(data, **{name: foreign})
    pools = {"shards": data.shards, "opened_lexicon": data.lexicon} | {name: foreign}
    with pytest.raises(SigjepaError, match="another"):
        read_pools(data.corpus, *pools.values())


def test_shards_of_another_corpus_are_not_mined(tiny_data, tmp_path):
    stage = MinedPairsStage(tiny_data.corpus, of_another(tiny_data.shards), top_k=4, min_cosim=0.5)
    with pytest.raises(SigjepaError, match="another"):
        Store(tmp_path).get(stage)


def test_a_fold_has_the_shards_of_its_corpus(tiny_data, tmp_path):
    fold = Store(tmp_path).get(FoldStage(tiny_data.corpus, Fold(2, 1)))
    assert replace(tiny_data, corpus=fold, opened_lexicon=tiny_data.lexicon).shards is tiny_data.shards
