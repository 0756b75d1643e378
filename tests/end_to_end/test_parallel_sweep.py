"""Jobs of a sweep side by side: on a cold cache, where one fails, and in processes that a queue starts."""

import json

import pytest

SMALL = ("data=tiny", "size.max_functions=200", "trainer.max_epochs=1", "logger=none", "baseline=[random]")


def jobs_of(sweep):
    return {path.parent.name: json.loads(path.read_text()) for path in sweep.glob("*/summary.json")}


@pytest.mark.slow
def test_jobs_on_a_cold_cache_build_it_once_and_end_as_one_after_the_other(run, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ("-m", "experiment=exp2_1,hardneg_per_anchor", "negatives.tiers=null", *SMALL)
    cache = {"SIGJEPA_DATA_DIR": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"}
    done = run("train", *words, "hydra/launcher=parallel", "hydra.sweep.dir=parallel", cwd=tmp_path, **cache)
    for label in ("[#0 exp2_1 seed 0] ", "[#1 hardneg_per_anchor seed 0] "):
        assert f"{label}| train functions " in done.stdout
    logs = "".join(path.read_text() for path in (tmp_path / "parallel").glob("*/train.log"))
    for kind in ("corpus", "teacher", "mined", "judged", "negatives"):
        (folder,) = [path for path in (tmp_path / "data" / kind).iterdir() if path.is_dir()]
        assert logs.count(f"] Built {folder.parent.name}/{folder.name}\n") == 1
    run("train", *words, "hydra.sweep.dir=serial", cwd=tmp_path, **cache)
    parallel, serial = jobs_of(tmp_path / "parallel"), jobs_of(tmp_path / "serial")
    for summary in (*parallel.values(), *serial.values()):
        assert summary.pop("wall_seconds") > 0
    assert parallel == serial
    assert len(parallel) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "plugin"), [("parallel", "hydra_joblib_launcher"), ("queue", "hydra_submitit_launcher")]
)
def test_a_job_that_fails_stops_no_other_and_the_sweep_goes_on_with_any_launcher(run, tmp_path, launcher, plugin):
    pytest.importorskip(f"hydra_plugins.{plugin}")
    words = ("-m", "experiment=exp1_4", "optimizer.lr=1e30,1e-3", *SMALL)
    done = run("train", *words, f"hydra/launcher={launcher}", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "2 jobs, 1 failed, 1 finished" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("sigjepa: The loss term 'infonce' is nan")
    assert "Traceback" not in done.stderr
    (sweep,) = (tmp_path / "multirun").iterdir()
    (record,) = [path for path in sweep.glob("*/provenance.json") if "0.001" in path.parent.name]
    assert json.loads(record.read_text())["command"][1:5] == list(words[:4])
    again = run("train", *words, cwd=tmp_path, check=False)
    assert again.returncode == 1
    assert again.stdout.count("is finished: nothing to do") == 1
    assert len(list((tmp_path / "multirun").iterdir())) == 1
