"""The pair file is written block by block, and continued to the same bytes wherever it was cut."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigjepa.negatives.mining.knn import Pairs
from sigjepa.negatives.mining.pair_file import Written, append_blocks, read_pairs, unfinished

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
    done = unfinished(path, IDS, block_size)
    return append_blocks(path, blocks_of(found, block_size, calls), done, len(IDS), block_size)


FOUND = st.lists(st.integers(0, 3), min_size=len(IDS), max_size=len(IDS))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FOUND, st.integers(1, 12), st.floats(0, 1), st.binary(max_size=20))
def test_cut_anywhere_it_is_continued_to_the_same_bytes(tmp_path, found, block_size, share, garbage):
    path = tmp_path / "pairs.jsonl"
    path.unlink(missing_ok=True)
    whole = written(path, found, block_size)
    content = path.read_bytes()
    cut = round(share * len(content))
    path.write_bytes(content[:cut])
    calls = []
    assert written(path, found, block_size, calls) == whole
    assert path.read_bytes() == content
    complete = content[:cut].count(b"\n")
    rows_with_pairs = [row for row in range(len(IDS)) for _ in range(found[row])]
    last = rows_with_pairs[complete - 1] if complete else 0
    assert calls[0] == last - last % block_size  # no block before the last line's is searched again
    path.write_bytes(content[:cut] + b"\xff" + garbage)  # what a crashed file system may leave
    assert written(path, found, block_size) == whole
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


@pytest.mark.parametrize(
    "line",
    [
        b'{"anchor_id": 5, "neighbor_id": 1, "cosim": 0.5}\n',  # not an anchor
        b'{"anchor_id": 3, "neighbor_id": 1, "cosim": 0.5}\n',  # out of order
        b'{"anchor_id": 1e999, "neighbor_id": 1, "cosim": 0.5}\n',
        b"[]\n",
        b"7\n",
        b"\x00\x00\n",
    ],
)
def test_a_line_that_mining_did_not_write_ends_what_is_kept(tmp_path, line):
    path = tmp_path / "pairs.jsonl"
    whole = written(path, [1] * 11, 4)
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:6]) + line + b"".join(lines[6:]))
    assert unfinished(path, IDS, 4).anchors == 4
    assert written(path, [1] * 11, 4) == whole
    assert path.read_bytes() == content
