"""The benchmark of the baselines runs, and its whole matrices give what the blocks give."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
CHECK = """
import json
from baselines import make_pools, whole_matrices
from sigjepa.evaluation.baselines import BASELINES
pools = make_pools(300)
fused = BASELINES["fusion"].measure(pools)
print(json.dumps([[fused.figures["weight"], fused.ranks["test"][1].recall_at(10).mean()], whole_matrices(pools)]))
"""


def test_whole_matrices_give_the_same_fusion():
    command = [sys.executable, "-c", CHECK]
    printed = subprocess.run(command, cwd=ROOT / "benchmarks", check=True, capture_output=True, text=True).stdout
    in_blocks, whole = json.loads(printed.splitlines()[-1])
    assert in_blocks == whole


def test_a_row_a_baseline_with_time_and_memory(tmp_path):
    command = [sys.executable, "benchmarks/baselines.py", "--sizes", "40", "80", "--names", "fusion", "bm25"]
    output = tmp_path / "baselines.json"
    printed = subprocess.run(
        [*command, "--output", output], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    measured = json.loads(output.read_text())["seconds_and_mib"]
    assert {name: list(sizes) for name, sizes in measured.items()} == {"fusion": ["40", "80"], "bm25": ["40", "80"]}
    assert all(seconds > 0 and mib >= 0 for sizes in measured.values() for seconds, mib in sizes.values())
    assert "fusion" in printed


def test_the_process_grows_by_less_than_the_pool_squared():
    """A block at a time can fill the memory, too: with holes between what is kept of each.

    What the process that starts it has held, as a test runner may, does not count.
    """
    held = np.ones(300 * 2**17)  # 300 MiB
    check = "from baselines import measure; print(measure('fusion', [2500], 1)[2500][1])"
    command = [sys.executable, "-c", check]
    printed = subprocess.run(command, cwd=ROOT / "benchmarks", check=True, capture_output=True, text=True).stdout
    assert len(held) * 8 / 2**20 > 6 * 2500**2 * 4 / 2**20
    assert 0 < float(printed) < 6 * 2500**2 * 4 / 2**20
