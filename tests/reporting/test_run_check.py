"""A run is judged by its own artifacts, or not at all."""

import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import default_metrics, query_values
from sigjepa.evaluation.ranks import pool_ranks
from sigjepa.reporting.run_check import check_figures
from sigjepa.reporting.runs import read_run
from sigjepa.store.files import read_json, write_json
from sigjepa.training.provenance import write_file_digests


@pytest.fixture
def judged(make_run):
    """A run whose summary follows from its predictions and these targets, `[240, 8]`."""
    run = make_run("run")
    targets = torch.randn(240, 8, generator=torch.Generator().manual_seed(0))
    summary = read_json(run.folder / "summary.json")
    for split in ("val", "test"):
        ids, predictions = (torch.from_numpy(array) for array in run.predictions(split))
        values = query_values(ids.numpy(), pool_ranks(predictions, targets[ids]), default_metrics())
        summary |= {f"{split}/{name}": value for name, value in values.means().items()}
    return rewritten(run, summary), targets


def rewritten(run, summary):
    (run.folder / "files.json").unlink(missing_ok=True)
    write_json(run.folder / "summary.json", summary)
    write_file_digests(run.folder)
    return read_run(run.folder)


def test_predictions_and_artifacts_must_give_the_summary(judged):
    run, targets = judged
    check_figures(run, targets, default_metrics())
    with pytest.raises(SigjepaError, match="val/"):
        check_figures(run, targets.flip(0), default_metrics())
    changed = rewritten(run, run.summary | {"test/rank10": run.summary["test/rank10"] + 0.1})
    with pytest.raises(SigjepaError, match="test/rank10"):
        check_figures(changed, targets, default_metrics())


@pytest.mark.parametrize("shape", [(240, 7), (230, 8)])
def test_artifacts_of_another_size_are_named(judged, shape):
    run, targets = judged
    with pytest.raises(SigjepaError, match=r"predictions\.npz"):
        check_figures(run, targets[: shape[0], : shape[1]], default_metrics())
