"""The benchmark of the baselines runs, and its whole matrices give what the blocks give."""

import json

import baselines
import numpy as np
import pytest

from sigjepa.evaluation.baselines import BASELINES


def test_whole_matrices_give_the_same_fusion():
    pools = baselines.make_pools(300)
    fused = BASELINES["fusion"].measure(pools)
    in_blocks = (fused.figures["weight"], fused.ranks["test"][1].recall_at(10).mean())
    assert in_blocks == baselines.whole_matrices(pools)


@pytest.mark.slow  # it measures every baseline in a process of its own
def test_a_row_a_baseline_with_time_and_less_memory_than_the_pool_squared(tmp_path, capsys):
    """A block at a time can fill the memory, too: with holes between what is kept of each.

    What the process that starts it has held, as a test runner may, does not count.
    """
    held = np.ones(300 * 2**17)  # 300 MiB
    output = tmp_path / "baselines.json"
    baselines.main(["--sizes", "40", "2500", "--names", "fusion", "--output", str(output)])
    measured = json.loads(output.read_text())["seconds_and_mib"]
    assert {name: list(sizes) for name, sizes in measured.items()} == {"fusion": ["40", "2500"]}
    assert all(seconds > 0 and mib >= 0 for seconds, mib in measured["fusion"].values())
    assert "| fusion" in capsys.readouterr().out
    limit = 6 * 2500**2 * 4 / 2**20
    assert len(held) * 8 / 2**20 > limit
    assert 0 < measured["fusion"]["2500"][1] < limit
