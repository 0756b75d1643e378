import pytest

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.pools import check_held_out, read_pools


@pytest.mark.parametrize("split", ["train", "tst"])
def test_only_val_and_test_are_held_out(split):
    check_held_out("val")
    with pytest.raises(SigjepaError, match=f"split={split} is no held-out pool"):
        check_held_out(split)


def test_pools_hold_texts_and_embeddings_of_the_same_functions(tiny_datamodule):
    data = tiny_datamodule.data
    pools = read_pools(data.corpus, data.shards.signature_pooled, tiny_datamodule.data.targets)
    assert list(pools) == ["train", "val", "test"]
    bodies = data.corpus.column("body")
    for split, pool in pools.items():
        assert pool.ids.tolist() == data.corpus.ids(split).tolist()
        assert pool.bodies == [bodies[one] for one in pool.ids]
        assert pool.body_pooled.equal(tiny_datamodule.data.targets[pool.ids].float())
        assert len(pool.signatures) == len(pool.signature_pooled)
