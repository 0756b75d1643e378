import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.data.sampler import BlockSampler, LengthBucketSampler, SequentialSampler
from sigjepa.errors import SigjepaError

sizes = st.integers(2, 200)


def sampler_for(n, batch_size, seed=0, epoch=0, **options):
    lengths = np.random.default_rng(n).integers(1, 50, size=n)
    sampler = LengthBucketSampler(np.arange(n) * 3, lengths, batch_size, seed=seed, **options)
    sampler.set_epoch(epoch)
    return sampler


def lists(sampler):
    return [request.ids.tolist() for request in sampler]


@settings(max_examples=60, deadline=None)
@given(n=sizes, batch_size=st.integers(2, 32), bucket=st.integers(1, 5), epoch=st.integers(0, 5))
def test_every_function_once_in_batches_of_near_equal_size(n, batch_size, bucket, epoch):
    sampler = sampler_for(n, batch_size, epoch=epoch, bucket_batches=bucket)
    batches = [request.ids for request in sampler]
    assert len(batches) == len(sampler)
    assert sorted(np.concatenate(batches)) == list(np.arange(n) * 3)
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@settings(max_examples=30, deadline=None)
@given(n=sizes, seed=st.integers(0, 100), epoch=st.integers(0, 9))
def test_order_is_a_pure_function_of_seed_and_epoch(n, seed, epoch):
    first = lists(sampler_for(n, 8, seed=seed, epoch=epoch))
    assert lists(sampler_for(n, 8, seed=seed, epoch=epoch)) == first
    sampler = sampler_for(n, 8, seed=seed, epoch=epoch + 1)
    list(sampler)  # drawing another epoch in between changes nothing
    sampler.set_epoch(epoch)
    assert lists(sampler) == first


def test_epochs_and_seeds_differ():
    orders = {str(lists(sampler_for(100, 8, seed=s, epoch=e))) for s in range(3) for e in range(3)}
    assert len(orders) == 9


@settings(max_examples=30, deadline=None)
@given(n=st.integers(4, 200), batch_size=st.integers(2, 16), world_size=st.sampled_from([2, 3, 4]))
def test_ranks_share_the_single_process_global_batches(n, batch_size, world_size):
    whole = lists(sampler_for(n, batch_size * world_size))
    shares = [lists(sampler_for(n, batch_size, rank=r, world_size=world_size)) for r in range(world_size)]
    assert {len(share) for share in shares} == {len(whole)}
    for step, batch in enumerate(whole):
        assert sorted(np.concatenate([share[step] for share in shares])) == sorted(batch)


@settings(max_examples=30, deadline=None)
@given(n=sizes, batch_size=st.integers(1, 16), epoch=st.integers(0, 5), world_size=st.sampled_from([1, 2]))
def test_requests_count_steps_and_epochs_through_training(n, batch_size, epoch, world_size):
    sampler = sampler_for(n, batch_size, epoch=epoch, world_size=world_size)
    requests = list(sampler)
    assert [request.step for request in requests] == [epoch * len(sampler) + i for i in range(len(sampler))]
    assert [request.epoch for request in requests] == [epoch + i / len(sampler) for i in range(len(sampler))]


def test_buckets_save_padding():
    def padded(bucket_batches):
        lengths = np.random.default_rng(0).integers(1, 100, size=2000)
        sampler = LengthBucketSampler(np.arange(2000), lengths, 50, bucket_batches=bucket_batches)
        return sum(len(request.ids) * lengths[request.ids].max() for request in sampler)

    assert padded(bucket_batches=16) < 0.7 * padded(bucket_batches=1)


def test_sequential_sampler_serves_everyone_once_by_length():
    lengths = np.array([5, 1, 4, 2, 3])
    batches = list(SequentialSampler(np.arange(10, 15), lengths, batch_size=2))
    assert [request.ids.tolist() for request in batches] == [[11, 13], [14, 12], [10]]
    assert len(SequentialSampler(np.arange(10, 15), lengths, batch_size=2)) == 3


@settings(max_examples=60, deadline=None)
@given(n=sizes, batch_size=st.integers(1, 32), world_size=st.integers(1, 5))
def test_ranks_evaluate_every_function_once_in_equally_many_batches(n, batch_size, world_size):
    world_size = min(n, world_size)
    lengths = np.random.default_rng(n).integers(1, 50, size=n)
    samplers = [
        SequentialSampler(np.arange(n) * 3, lengths, batch_size, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    shares = [lists(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])}
    assert all(batch for share in shares for batch in share)
    assert sorted(one for share in shares for batch in share for one in batch) == list(range(0, 3 * n, 3))


@settings(max_examples=60, deadline=None)
@given(n=sizes, world_size=st.integers(1, 5), blocks=st.booleans())
def test_batches_of_one_function_are_never_empty(n, world_size, blocks):
    world_size = min(n, world_size)
    make = block_sampler if blocks else sampler_for
    shares = [lists(make(n, 1, rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert {len(share) for share in shares} == {n // world_size}
    assert all(batch for share in shares for batch in share)
    assert sorted(one for share in shares for batch in share for one in batch) == list(range(0, 3 * n, 3))


@pytest.mark.parametrize("kind", [SequentialSampler, LengthBucketSampler])
def test_fewer_functions_than_processes_are_refused(kind):
    with pytest.raises(SigjepaError, match="trainer.devices"):
        kind(np.arange(2), np.ones(2), 4, rank=0, world_size=3)


def block_sampler(n, batch_size, rank=0, world_size=1, seed=0, epoch=0, **options):
    lengths = np.random.default_rng(n).integers(1, 50, size=n)
    options = {"shuffle_block": 10, "shuffle_window": 3, "bucket_batches": 2, **options}
    ranks = {"rank": rank, "world_size": world_size}
    sampler = BlockSampler(np.arange(n) * 3, lengths, batch_size, seed=seed, **ranks, **options)
    sampler.set_epoch(epoch)
    return sampler


@settings(max_examples=60, deadline=None)
@given(n=sizes, batch_size=st.integers(2, 16), block=st.integers(1, 40), world_size=st.sampled_from([1, 2, 3]))
def test_blocks_give_every_function_once_in_as_many_batches_on_each_rank(n, batch_size, block, world_size):
    if n < world_size:
        return
    samplers = [block_sampler(n, batch_size, rank, world_size, shuffle_block=block) for rank in range(world_size)]
    shares = [lists(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])}
    assert sorted(function for share in shares for batch in share for function in batch) == list(np.arange(n) * 3)
    assert all(0 < len(batch) <= batch_size for share in shares for batch in share)


def test_batches_come_from_a_few_blocks_at_a_time_and_ranks_have_their_own():
    read = [lists(block_sampler(3000, 8, rank, 2, shuffle_block=30, shuffle_window=4)) for rank in range(2)]
    blocks = [[{function // 30 for function in batch} for batch in share] for share in read]
    for share in blocks:
        window = 4 * 30 // 8
        for start in range(0, len(share), window):
            # 120 functions of blocks of 10, and those that the window before has begun
            assert len(set.union(*share[start : start + window])) <= 120 // 10 + 2
    assert len(set.union(*blocks[0]) & set.union(*blocks[1])) <= 1


def test_an_epoch_of_blocks_is_a_pure_function_and_goes_on_in_the_middle():
    whole = lists(block_sampler(200, 8, epoch=3))
    assert lists(block_sampler(200, 8, epoch=3)) == whole
    assert len({str(lists(block_sampler(200, 8, seed=s, epoch=e))) for s in range(3) for e in range(3)}) == 9
    resumed = block_sampler(200, 8, epoch=3)
    resumed.first = 7
    requests = list(resumed)
    assert [request.ids.tolist() for request in requests] == whole[7:]
    assert [request.step for request in requests] == list(range(3 * 25 + 7, 4 * 25))


@pytest.mark.parametrize("key", ["shuffle_block", "shuffle_window"])
def test_a_block_of_nothing_is_refused(key):
    with pytest.raises(SigjepaError, match=rf"data\.{key}=0"):
        block_sampler(20, 4, **{key: 0})
