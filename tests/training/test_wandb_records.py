import pytest

from sigjepa.errors import SigjepaError
from sigjepa.training.wandb_records import log_images, log_tables, result_rows, statistic_rows, table_of


def test_results_are_one_row_a_name_with_the_figures_of_both_splits():
    results = {"exp1_4": {"val/rank10": 0.4, "test/mrr": 0.2, "seed": 0}, "random": {"test/mrr": 0.1}}
    assert result_rows(results) == [
        {"run": "exp1_4", "val/rank10": 0.4, "test/mrr": 0.2},
        {"run": "random", "val/rank10": None, "test/mrr": 0.1},
    ]


def test_statistics_are_one_row_each():
    assert statistic_rows({"Total pairs": "1,234"}) == [{"statistic": "Total pairs", "value": "1,234"}]
    assert statistic_rows({}) == []


def test_a_table_has_every_column_and_one_kind_of_value_in_each():
    columns, rows = table_of([{"a": 1, "b": "x"}, {"a": 2.5, "c": True}, {"b": 3}])
    assert columns == ["a", "b", "c"]
    assert rows == [[1, "x", None], [2.5, None, True], [None, "3", None]]


def test_wandb_takes_every_table(tmp_path):
    import wandb

    columns, rows = table_of([{"a": 1, "b": "x", "c": None}, {"a": 2.5, "b": 3, "c": False}, {"b": None}])
    table = wandb.Table(columns=columns, data=rows)
    assert table.columns == ["a", "b", "c"]
    assert table.data == rows


def test_other_loggers_are_left_alone(tmp_path):
    asked = []

    class Other:
        """Notes whatever is asked of it."""

        def __getattr__(self, name):
            asked.append(name)
            return lambda *_, **__: None

    figure = tmp_path / "figure.png"
    figure.write_bytes(b"")
    log_tables([Other()], {"results": [{"a": 1}]})
    log_images([Other()], {"figure": figure})
    assert asked == []


@pytest.mark.parametrize("name", ["missing.png", "drawing.svg"])
def test_a_figure_that_wandb_cannot_show_is_named(tmp_path, name):
    (tmp_path / "drawing.svg").write_text("<svg/>")
    with pytest.raises(SigjepaError, match=rf"{name}.*curves"):
        log_images([], {"curves": tmp_path / name})
