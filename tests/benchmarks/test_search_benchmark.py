"""The benchmarks of search run; their figures decide no test."""

import json
import os
from pathlib import Path

import pytest
from untrained_student import write_index

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow  # it serves a page and asks it, half a minute
def test_latency_and_load_are_told(tmp_path, run_python):
    write_index(tmp_path)
    words = ("--sizes", "9", "--queries", "2", "--methods", "sigjepa", "bm25s")
    done = run_python([BENCHMARKS / "search.py", "--index", "my_index", *words], tmp_path, os.environ)
    assert done.returncode == 0, done.stderr
    assert "| 9 " in done.stdout
    record = json.loads((tmp_path / "benchmarks" / "results" / "search.json").read_text())
    for method in ("sigjepa 9", "bm25s 9"):
        assert all(value > 0 for value in record[method].values())
    assert all(record[name] > 0 for name in ("start_s", "page_start_s", "imports_s", "torch_s"))
    words = ("--student", "student", "--source", "repo", "--repeats", "1")
    done = run_python([BENCHMARKS / "indexing.py", *words], tmp_path, os.environ)
    assert done.returncode == 0, done.stderr
    assert "4 functions of repo" in done.stdout
    words = ("--port", "9", "--seconds", "0.2", "--rate", "20", "--process", str(os.getpid()))  # nothing listens there
    done = run_python([BENCHMARKS / "serving_load.py", "--index", "my_index", *words], tmp_path, os.environ)
    assert json.loads(done.stdout)["errors"] == 4
