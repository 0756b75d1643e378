import pytest

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.pools import check_held_out, read_pools
from sigjepa.lexicon.function_terms import extract_terms


@pytest.mark.parametrize("split", ["train", "tst"])
def test_only_val_and_test_are_held_out(split):
    check_held_out("val")
    with pytest.raises(SigjepaError, match=f"split={split}.*val.*test"):
        check_held_out(split)


def test_pools_hold_texts_and_embeddings_of_the_same_functions(tiny_data):
    pools = read_pools(tiny_data.corpus, tiny_data.shards, tiny_data.lexicon)
    assert list(pools) == ["train", "val", "test"]
    bodies, repositories = tiny_data.corpus.column("body"), tiny_data.corpus.column("repository")
    for split, pool in pools.items():
        assert pool.ids.tolist() == tiny_data.corpus.ids(split).tolist()
        assert pool.bodies == [bodies[i] for i in pool.ids]
        assert pool.body_pooled.equal(tiny_data.targets[pool.ids].float())
        assert len(pool.signatures) == len(pool.signature_pooled)
        assert pool.packages == [repositories[i] for i in pool.ids]
        words = extract_terms(pool.signatures, pool.bodies)[0].body_words
        assert pool.lexicon_terms.body_words.terms.tolist() == words.terms.tolist()
