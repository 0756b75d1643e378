"""The measurement of scale runs; its figures decide no test, but what it computes from them is checked."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STAGES = ("corpus", "shards", "mining", "index", "training", "validation")


@pytest.fixture
def scripts(monkeypatch):
    """The scripts as modules, which find their neighbors as when they are run."""
    for folder in (BENCHMARKS, BENCHMARKS / "scale"):
        monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("scale"), importlib.import_module("chain")
    for name in ("scale", "chain", "synthetic", "renamed_copies", "plan"):
        sys.modules.pop(name, None)


def test_every_stage_of_the_chain_is_measured_and_told(scripts, tmp_path, monkeypatch):
    scale, chains = scripts
    chain = chains.Chain(400, tmp_path / "work", ["click", "jinja2", "rich", "tqdm"])
    monkeypatch.setattr(scale, "run_stage", lambda stage, *_: chains.measure(stage, chain))
    record, page = tmp_path / "scale.json", tmp_path / "scale.md"
    scale.main(["--sizes", "400", "--work", str(tmp_path), "--results", str(record), "--page", str(page)])
    measured = json.loads(record.read_text())["stages"]
    assert tuple(measured) == STAGES
    for figures in measured.values():
        assert figures["400"]["peak_mib"] > 10
        assert figures["400"]["seconds"] > 0
    kept = measured["corpus"]["400"]["functions"]
    assert kept > 100
    assert measured["mining"]["400"]["pairs"] > kept
    assert measured["index"]["400"]["hard_negatives"] > 0
    assert measured["training"]["400"]["steps"] > 0
    assert measured["validation"]["400"]["pool"] > 0
    skipped = measured["corpus"]["400"]["skipped"]
    assert skipped["renamed_duplicate"] < 0.2 * measured["corpus"]["400"]["counts"]["functions_extracted"]
    assert "one epoch of training" in page.read_text()


def made_up_figures(power: float, mib: float = 100.0) -> dict[int, dict[str, float]]:
    return {
        size: {"functions": size, "seconds": 1.0, "cpu_seconds": size**power, "peak_mib": mib, "disk_mib": size / 1000}
        for size in (100, 1000)
    }


def test_exponents_and_missed_targets_are_named(scripts):
    scale, _ = scripts
    found = {stage: made_up_figures(1.0) for stage in STAGES} | {"mining": made_up_figures(1.5)}
    found["validation"] = made_up_figures(2.0)
    found["training"] = made_up_figures(1.0, mib=5000)
    found["index"][1000] = {"problem": "given up after 9 s"}
    assert scale.power(found["mining"]) == pytest.approx(1.5)
    missed = "\n".join(scale.misses(found))
    assert "mining: CPU time grows with the power 1.50" in missed
    assert "training, 1,000 functions: 4.9 GiB" in missed
    assert "given up after 9 s" in missed
    assert "validation" not in missed
    assert "corpus" not in missed


def test_a_plan_is_the_measured_cost_at_another_size_and_price(scripts):
    plan = sys.modules["plan"]
    stages = {"corpus": made_up_figures(1.0), "mining": made_up_figures(1.2), "training": made_up_figures(3.0)}
    assumed = plan.Assumptions(functions=100_000, cores=10, core_hour=0.1, gpu_hour=0.0, efficiency=0.5, months=2.0)
    found = plan.plan(stages, assumed)
    assert found["cpu_hours"] == pytest.approx((1e5 + 1e5**1.2) / 3600)
    assert found["wall_hours_cpu"] == pytest.approx(found["cpu_hours"] / 5)
    assert found["dollars_cpu"] == pytest.approx(found["cpu_hours"] * 0.2)
    assert found["terabytes_files"] == pytest.approx(3 * 100 * 2**20 / 1e12)
    assert found["dollars"] == pytest.approx(found["dollars_cpu"] + found["dollars_disk"])
    slower = plan.plan({"corpus": made_up_figures(0.5)}, assumed)
    assert slower["cpu_hours"] == pytest.approx(100 * 1000**0.5 / 3600)  # counts as if it grew with its input
