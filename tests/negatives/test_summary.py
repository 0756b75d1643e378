"""The summary table, on an index with exactly the published statistics, and what stands beside it."""

import numpy as np
import pytest

from sigjepa.negatives.index import HardNegatives
from sigjepa.negatives.index_file import FILE_NAME
from sigjepa.negatives.judged import JudgedPairs
from sigjepa.negatives.summary import published_rows

PUBLISHED = """\
| Statistic | Value |
|-----------|-------|
| Source | `docs/phase0_2_knn_results_full.jsonl` |
| Model | Qwen2.5-Coder-3B |
| Filter | cosim ≥ 0.80, score_c ≤ 1, both IDs in training corpus |
| Total pairs | 85,125 |
| Unique anchors | 17,540 (42% of train split) |
| score_c=0 pairs | 46,146 |
| score_c=1 pairs | 38,979 |
| Avg hard negs per anchor | 4.8 |
| File | `hard_negatives.json` (1.0 MB) |"""  # a copy of the write-up of Exp 2.1
SOURCE, MODEL = "docs/phase0_2_knn_results_full.jsonl", "Qwen2.5-Coder-3B"
FUNCTIONS, TRAIN_FUNCTIONS = 28_400 + 22_435, 42_047
PAIRS, ANCHORS, UNRELATED = 85_125, 17_540, 46_146


def published_pairs(seed=0, left_out=5_000):
    """Judged pairs, and the train ids, whose index has the published statistics once the filter left out the rest."""
    rng = np.random.default_rng(seed)
    train = np.sort(rng.choice(FUNCTIONS, TRAIN_FUNCTIONS, replace=False))
    chosen = rng.choice(train, ANCHORS, replace=False)
    others = np.setdiff1d(train, chosen)
    anchors = np.concatenate([np.resize(chosen, PAIRS), np.resize(others, 2 * left_out)])
    # the k-th pair of an anchor is with the k-th train function after it: no pair twice, none with itself
    turn = np.concatenate([np.arange(PAIRS) // ANCHORS, np.arange(2 * left_out) // len(others)])
    neighbors = train[(np.searchsorted(train, anchors) + 1 + turn) % TRAIN_FUNCTIONS]
    scores = np.concatenate([np.zeros(UNRELATED), np.ones(PAIRS - UNRELATED), np.resize([2, 3, 0, 1], 2 * left_out)])
    cosims = np.round(rng.uniform(0.80, 0.99, len(anchors)), 4)
    cosims[PAIRS:][scores[PAIRS:] <= 1] -= 0.20  # related pairs are near, the others are below the floor
    order = np.lexsort((neighbors, -cosims, anchors))
    return JudgedPairs(
        anchors[order],
        neighbors[order],
        cosims[order],
        scores[order].astype(np.int8),
        "an LLM",
        ["shares a helper"] * len(anchors),
    ), train


def rows_of(table):
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.splitlines()]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("negatives")
    judged, train = published_pairs()
    provenance = {"source": SOURCE, "model": MODEL}
    built = HardNegatives.from_judged(judged, train_ids=train, min_cosim=0.80, max_score_c=1, provenance=provenance)
    built.save(folder)
    return HardNegatives.load(folder, FUNCTIONS)


def test_published_statistics_print_the_published_table(index):
    printed = rows_of(index.summary_table().split("\n\n")[0])
    published = rows_of(PUBLISHED)
    assert len(printed) == len(published) == 11
    for row, (ours, theirs) in enumerate(zip(printed, published, strict=True)):
        assert row == 1 or ours == theirs  # row 1 draws the line


def test_published_file_is_about_a_megabyte(index):
    assert 0.95e6 < (index.folder / FILE_NAME).stat().st_size < 1.05e6


def test_what_the_published_table_does_not_say_stands_in_a_table_of_its_own(index):
    assert index.summary_table().split("\n\n")[1:] == [
        "| Beyond the published table | Value |\n|---|---|\n| Judge | an LLM |\n"
        "| score_c≥2 pairs, masked as related | 5,000 |"
    ]


def test_rows_for_a_dashboard_are_those_of_both_tables(index):
    assert list(index.summary_rows()) == [name for name, _ in rows_of(PUBLISHED)[2:]] + [
        "Judge",
        "score_c≥2 pairs, masked as related",
    ]


STATISTICS = {
    **{"pairs": 0, "anchors": 0, "train_functions": 0, "coverage": 0.0},
    **{"score_c_0": 0, "score_c_1": 0, "related_pairs": 0, "average_per_anchor": 0.0},
}


@pytest.mark.parametrize(
    ("pairs", "anchors", "printed"), [(0, 0, "0.0"), (46, 10, "4.6"), (23, 5, "4.6"), (499, 100, "4.9"), (8, 1, "8.0")]
)
def test_average_is_cut_after_the_first_decimal(pairs, anchors, printed):
    statistics = STATISTICS | {"pairs": pairs, "anchors": anchors}
    assert published_rows(statistics, {}, None)["Avg hard negs per anchor"] == printed


def test_what_is_not_known_is_not_printed_as_if_it_were():
    rows = published_rows(STATISTICS | {"score_c_1": 7}, {"scores_known": False}, None)
    assert rows["Source"] == "`unknown`"
    assert rows["Model"] == rows["score_c=0 pairs"] == rows["score_c=1 pairs"] == "unknown"
    assert rows["Filter"] == "both IDs in training corpus"
    assert rows["File"] == f"`{FILE_NAME}`"
