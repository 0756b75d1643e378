"""The benchmark of how fast commands answer runs; its figures decide no test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.slow  # a cold start for each case
def test_the_benchmark_prints_a_ratio_for_each_case(tmp_path):
    words = ["--repeats", "1", "--commands", "report", "--output", str(tmp_path / "out.json")]
    script = CHECKOUT / "benchmarks" / "command_start.py"
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=True)
    record = json.loads((tmp_path / "out.json").read_text())
    assert set(record["ratios"]) == {"report --help", "report misspelled key"}
    assert all(ratio > 0 for ratio in record["ratios"].values())
    assert "| report" in done.stdout
