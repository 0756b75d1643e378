"""The summary table, on an index with exactly the published statistics, and what stands beside it."""

import pytest
from published_index import FUNCTIONS, MODEL, PUBLISHED, SOURCE, published_pairs, rows_of

from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.index_file import FILE_NAME, write_index
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.index.summary import further_rows, markdown_table, published_rows


@pytest.fixture(scope="module")
def index():
    judged, train = published_pairs()
    provenance = {"source": SOURCE, "model": MODEL}
    return HardNegatives.from_judged(
        judged, train_ids=train, pair_filter=PairFilter(min_cosim=0.80, max_score_c=1), provenance=provenance
    )


def test_published_statistics_print_the_published_table(index, tmp_path):
    file = write_index(index, tmp_path, FunctionIds(FUNCTIONS))
    printed = rows_of(index.summary_table(file.stat().st_size).split("\n\n")[0])
    published = rows_of(PUBLISHED)
    assert len(printed) == len(published) == 11
    for row, (ours, theirs) in enumerate(zip(printed, published, strict=True)):
        assert row == 1 or ours == theirs  # row 1 draws the line


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


def test_what_a_judge_could_not_use_is_said_with_its_share_and_reason():
    metadata = {"parse_errors": 3, "questions": 120, "unusable": "a | b (3)"}
    rows = further_rows(STATISTICS, metadata)
    assert "3 of 120 (2.5%): a | b (3)" in rows.values()
    assert markdown_table("Beyond", rows).endswith("| 3 of 120 (2.5%): a \\| b (3) |")


def test_what_is_not_known_is_not_printed_as_if_it_were():
    rows = published_rows(STATISTICS | {"score_c_1": 7}, {"scores_known": False}, None)
    assert rows["Source"] == "`unknown`"
    assert rows["Model"] == rows["score_c=0 pairs"] == rows["score_c=1 pairs"] == "unknown"
    assert rows["Filter"] == "both IDs in training corpus"
    assert rows["File"] == f"`{FILE_NAME}`"


def test_bounds_beyond_the_published_filter_stand_in_the_second_table():
    metadata = {"filter": {**PairFilter(min_cosim=0.6, range_max=3, relative_margin=0.05).settings(), "split": "train"}}
    assert further_rows({"related_pairs": 0}, metadata)["Further bounds"] == "relative_margin=0.05, range_max=3"
    assert "Further bounds" not in further_rows({"related_pairs": 0}, {"filter": PairFilter().settings()})
