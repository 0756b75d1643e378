import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.ceiling import fit_residuals
from sigjepa.evaluation.metrics import default_metrics, query_values
from sigjepa.evaluation.ranks import pool_ranks
from sigjepa.reporting.ceilings import Ceiling, ceiling_text, explain_run, first_of_each, measure_ceiling, measure_space
from sigjepa.reporting.evidence import open_evidence, same_teacher
from sigjepa.training.run_directory import SplitPredictions, write_predictions


@pytest.fixture
def real_run(make_run, tiny_datamodule, tiny_data_dir):
    """A run whose artifacts are real and whose predictions are the teacher's signature embeddings."""
    data = tiny_datamodule.data
    run = make_run("a", corpus_hash=data.corpus.hash)
    run.provenance["artifacts"].update(data.hashes())
    run.provenance["data_dir"] = str(tiny_data_dir)
    evaluated = {}
    for split in ("val", "test"):
        ids = data.corpus.ids(split)
        predictions = data.shards.signature_pooled[ids].float()
        ranks = pool_ranks(predictions, tiny_datamodule.data.targets[ids])
        evaluated[split] = SplitPredictions(
            ids, ranks, predictions.numpy(), query_values(ids, ranks, default_metrics())
        )
    write_predictions(run.folder, evaluated)
    return run


def test_evidence_is_what_the_run_was_trained_on(real_run, tiny_datamodule):
    evidence = open_evidence(real_run)
    assert evidence.corpus.hash == real_run.pool()
    assert evidence.targets.equal(tiny_datamodule.data.targets.whole())
    moved = replace(real_run)
    moved.provenance["data_dir"] = "gone"
    moved.provenance["artifacts"].update(real_run.provenance["artifacts"])
    with pytest.raises(SigjepaError, match="gone/corpus/"):
        open_evidence(moved)
    assert open_evidence(moved, Path(real_run.provenance["data_dir"])).targets.equal(evidence.targets)


def test_another_corpus_under_the_same_name_is_refused(real_run, tmp_path):
    root = Path(real_run.provenance["data_dir"])
    for kind, name in (("corpus", "corpus"), ("teacher", "shards")):
        folder = real_run.provenance["artifacts"][name]
        shutil.copytree(root / kind / folder, tmp_path / "copy" / kind / folder)
    real_run.provenance["artifacts"]["corpus_hash"] = "xxh3_128:other"
    with pytest.raises(SigjepaError, match="xxh3_128:other"):
        open_evidence(real_run, tmp_path / "copy")


def test_one_opening_serves_runs_of_the_same_pool_and_teacher(make_run):
    runs = [make_run("a"), make_run("b", seed=1), make_run("c", corpus_hash="xxh3_128:b")]
    runs.append(make_run("d", seed=2, config={"teacher": {"name": "other"}}))
    assert [run.folder.name for run in same_teacher(runs[0], runs)] == ["a", "b"]


def test_the_ceiling_of_a_run_agrees_with_its_ranks(real_run):
    evidence = open_evidence(real_run)
    plateau = explain_run(real_run, evidence.targets, "test")
    assert plateau.rank10 == pytest.approx(real_run.queries("test").means()["rank10"])
    train_ids = torch.from_numpy(evidence.corpus.ids("train"))
    ceiling = measure_ceiling([real_run], evidence.targets, train_ids, "test")
    assert ceiling.errors_of == "exp1_4, seed 0"
    assert ceiling.plateaus["exp1_4, seed 0"] == plateau
    text = "\n\n".join(ceiling_text(ceiling))
    for expected in ("nearest other ≥ 0.95", "needed for 90%", plateau.sentence(), "those of exp1_4, seed 0, on val"):
        assert expected in text
    assert ceiling.as_dict()["plateaus"]["exp1_4, seed 0"]["verdict"] == plateau.verdict


def test_without_a_run_the_errors_are_the_teachers_own(real_run):
    evidence = open_evidence(real_run)
    ids = {split: torch.from_numpy(evidence.corpus.ids(split)) for split in ("train", "val", "test")}
    signatures = evidence.shards.signature_pooled
    residuals = fit_residuals(signatures[ids["val"]].float(), evidence.targets[ids["val"]].float(), ids["val"])
    space = measure_space(evidence.targets, ids["train"], ids["test"], residuals)
    text = "\n\n".join(ceiling_text(Ceiling("test", "the teacher's own signature embedding", *space, {})))
    assert "those of the teacher's own signature embedding" in text
    assert "Is a plateau due to" not in text


def test_sentences_are_of_one_seed_an_experiment():
    plateaus = dict.fromkeys(("a, seed 1", "a, seed 2", "b, seed 1"), object())
    assert list(first_of_each(plateaus)) == ["a, seed 1", "b, seed 1"]
