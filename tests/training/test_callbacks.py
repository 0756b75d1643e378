import csv

import pytest

from sigjepa.training.callbacks import MetricsTable, write_rows


def read(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_columns_that_appear_late_leave_earlier_rows_empty(tmp_path):
    path = tmp_path / "metrics.csv"
    write_rows(path, [{"epoch": 0, "val/rank10": 0.1}, {"epoch": 1, "val/rank10": 0.2, "train/infonce_mined": 0.3}])
    assert read(path) == [
        {"epoch": "0", "val/rank10": "0.1", "train/infonce_mined": ""},
        {"epoch": "1", "val/rank10": "0.2", "train/infonce_mined": "0.3"},
    ]


def test_a_failed_write_leaves_the_old_table(tmp_path):
    path = tmp_path / "metrics.csv"
    write_rows(path, [{"epoch": 0}])

    class Broken:
        def __str__(self):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_rows(path, [{"epoch": 0}, {"epoch": Broken()}])
    assert read(path) == [{"epoch": "0"}]
    assert list(tmp_path.iterdir()) == [path]


def test_rows_survive_a_checkpoint(tmp_path):
    table = MetricsTable(tmp_path / "metrics.csv")
    table.rows.append({"epoch": 0.0})
    continued = MetricsTable(tmp_path / "metrics.csv")
    continued.load_state_dict(table.state_dict())
    assert continued.rows == [{"epoch": 0.0}]
