import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.teacher.batching import TokenSequences, pad, token_budget_batches

LENGTHS = st.lists(st.integers(0, 40), max_size=60).map(lambda values: np.array(values, dtype=np.int64))


@given(LENGTHS, st.integers(1, 200))
def test_batches_cover_every_text_that_has_tokens_once(lengths: np.ndarray, budget: int) -> None:
    batches = list(token_budget_batches(lengths, budget))
    assert sorted(text for batch in batches for text in batch) == np.flatnonzero(lengths).tolist()


@given(LENGTHS, st.integers(1, 200))
def test_batches_stay_within_the_budget_and_start_with_the_longest(lengths: np.ndarray, budget: int) -> None:
    batches = list(token_budget_batches(lengths, budget))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget
    longest = [lengths[batch].max() for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_a_budget_is_filled() -> None:
    assert [len(batch) for batch in token_budget_batches(np.array([4, 4, 4, 4, 2, 2]), 8)] == [2, 2, 2]


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_by_hand(side: str) -> None:
    sequences = TokenSequences(
        tokens=np.array([5, 6, 7, 8, 9, 10]),
        kept=np.array([False, True, True, True, True, False]),
        offsets=np.array([0, 2, 2, 6]),
        truncated=0,
    )
    batch = pad(sequences, np.array([2, 0]), side, pad_token=-1)  # type: ignore[arg-type]
    rows = {"left": [[7, 8, 9, 10], [-1, -1, 5, 6]], "right": [[7, 8, 9, 10], [5, 6, -1, -1]]}
    assert batch.tokens.tolist() == rows[side]
    assert batch.mask.tolist() == [[int(token >= 0) for token in row] for row in rows[side]]
    assert batch.positions[batch.mask == 1].tolist() == [0, 1, 2, 3, 0, 1]
    assert batch.tokens.ravel()[batch.kept].tolist() == [7, 8, 9, 6]
    assert sequences.tokens[batch.kept_tokens].tolist() == [7, 8, 9, 6]
    assert batch.kept_lengths.tolist() == [3, 1]
