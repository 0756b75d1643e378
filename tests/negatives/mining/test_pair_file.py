"""The pair file is written block by block, and continued to the same bytes wherever it was cut."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigjepa.negatives.mining.knn import Pairs
from sigjepa.negatives.mining.pair_file import Written, append_blocks, notes_path, read_pairs, unfinished

IDS = np.array([3, 4, 8, 9, 15, 16, 23, 42, 50, 51, 60])


def pairs_of_rows(first, stop, found):
    rows = [row for row in range(first, stop) for _ in range(found[row])]
    cosim = [round(0.9 - 0.001 * i - 0.0001 * (row % 7), 6) for row in range(first, stop) for i in range(found[row])]
    anchors = IDS[rows] if rows else np.empty(0, np.int64)
    return Pairs(anchors, anchors * 7 + 1, np.array(cosim), max([0.1 + 0.01 * first, *cosim]))


def blocks_of(found, block_size, calls=None):
    """Pairs of each block; `found` is how many each anchor has."""

    def blocks(first):
        assert first % block_size == 0
        for start in range(first, len(IDS), block_size):
            if calls is not None:
                calls.append(start)
            yield pairs_of_rows(start, min(start + block_size, len(IDS)), found)

    return blocks


def written(path, found, block_size, calls=None):
    done = unfinished(path)
    return append_blocks(path, blocks_of(found, block_size, calls), done, len(IDS), block_size)


FOUND = st.lists(st.integers(0, 3), min_size=len(IDS), max_size=len(IDS))


class KilledError(Exception):
    pass


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FOUND, st.integers(1, 12), st.integers(0, 11), st.binary(max_size=20))
def test_killed_anywhere_it_is_continued_to_the_same_bytes(tmp_path, found, block_size, last, torn):
    path = tmp_path / "pairs.jsonl"
    for file in (path, notes_path(path)):
        file.unlink(missing_ok=True)
    whole = written(path, found, block_size)
    content = path.read_bytes()

    def blocks(first):
        for start, block in zip(range(first, len(IDS), block_size), blocks_of(found, block_size)(first), strict=True):
            if start >= last:
                raise KilledError
            yield block

    for file in (path, notes_path(path)):
        file.unlink(missing_ok=True)
    done = 0
    try:
        append_blocks(path, blocks, Written(), len(IDS), block_size)
    except KilledError:
        done = -(-last // block_size) * block_size
    with path.open("ab") as stream:  # of the block during which it was killed
        stream.write(torn)
    calls = []
    assert written(path, found, block_size, calls) == whole
    assert path.read_bytes() == content
    assert calls[:1] == ([done] if 0 < done < len(IDS) else calls[:1])  # no block is searched again


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["pairs.jsonl", "pairs.jsonl.notes.json"]), st.data())
def test_altered_anywhere_it_is_mined_anew(tmp_path, name, data):
    path = tmp_path / "pairs.jsonl"
    for file in (path, notes_path(path)):
        file.unlink(missing_ok=True)
    whole = written(path, [2] * 11, 4)
    content = path.read_bytes()
    altered = bytearray((tmp_path / name).read_bytes())
    altered[data.draw(st.integers(0, len(altered) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / name).write_bytes(altered)
    assert written(path, [2] * 11, 4) == whole
    assert path.read_bytes() == content


@pytest.mark.parametrize("lost", ["pairs.jsonl", "pairs.jsonl.notes.json"])
def test_without_one_of_the_two_it_is_mined_anew(tmp_path, lost):
    path = tmp_path / "pairs.jsonl"
    written(path, [2] * 11, 4)
    content = path.read_bytes()
    (tmp_path / lost).unlink()
    assert unfinished(path) == Written()
    written(path, [2] * 11, 4)
    assert path.read_bytes() == content


@pytest.mark.parametrize("found", [[0] * 11, [2] * 11, [0] * 5 + [1] + [0] * 5])
def test_what_is_written_is_what_is_counted_and_read(tmp_path, found):
    path = tmp_path / "pairs.jsonl"
    done = written(path, found, 4)
    expected = Pairs.joined(list(blocks_of(found, 4)(0)))
    assert done == Written(len(IDS), sum(found), expected.highest_cosim)
    pairs = read_pairs(path, done.highest_cosim)
    for field in ("anchor_ids", "neighbor_ids", "cosim"):
        assert getattr(pairs, field).tolist() == getattr(expected, field).tolist()
        assert getattr(pairs, field).dtype == getattr(expected, field).dtype


def test_a_block_is_in_the_file_before_the_next_is_found(tmp_path):
    path = tmp_path / "pairs.jsonl"
    seen = []

    def watched(first):
        for block in blocks_of([1] * 11, 4)(first):
            seen.append(path.read_bytes().count(b"\n"))
            yield block

    append_blocks(path, watched, Written(), len(IDS), 4)
    assert seen == [0, 4, 8]
