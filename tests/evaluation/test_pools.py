import pytest

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.pools import check_held_out, read_pools


@pytest.mark.parametrize("split", ["train", "tst"])
def test_only_val_and_test_are_held_out(split):
    check_held_out("val")
    with pytest.raises(SigjepaError, match=f"split={split}.*val or test"):
        check_held_out(split)


def test_pools_hold_texts_and_embeddings_of_the_same_functions(tiny_data):
    pools = read_pools(tiny_data.corpus, tiny_data.shards)
    assert list(pools) == ["train", "val", "test"]
    bodies = tiny_data.corpus.column("body")
    for split, pool in pools.items():
        assert pool.ids.tolist() == tiny_data.corpus.ids(split).tolist()
        assert pool.bodies == [bodies[i] for i in pool.ids]
        assert pool.body_pooled.equal(tiny_data.targets[pool.ids].float())
        assert len(pool.signatures) == len(pool.signature_pooled)
