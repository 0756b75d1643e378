"""The student of a real run: it predicts what the run's test did, and leaves its folder by the command."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from sigjepa.corpus.corpus import Corpus
from sigjepa.data.views import score, take_views
from sigjepa.reporting.runs import read_run
from sigjepa.serving.student import Student
from sigjepa.training.run_file_names import FILES_FILE


def run_directory(sweep, experiment):
    (folder,) = (path.parent for path in sweep.glob("*/summary.json") if f"experiment={experiment}" in path.parent.name)
    return folder


@pytest.mark.parametrize("experiment", ["exp1_4", "exp2_2"])
def test_it_predicts_what_the_test_of_its_run_did(sweep, tiny_data, experiment):
    """Signatures are embedded in the order of the corpus: in another, a float16 state may end on the other last bit."""
    run = read_run(run_directory(sweep, experiment))
    ids, expected = run.predictions("test")
    predicted = Student.from_pretrained(run.folder).predict(tiny_data.corpus.column("signature"))["pooled"].vectors
    expected = torch.nn.functional.normalize(torch.from_numpy(expected), dim=-1)
    torch.testing.assert_close(predicted[torch.from_numpy(ids)], expected, atol=1e-6, rtol=0)


def test_it_scores_as_its_test_did_where_it_learned_from_a_sample_of_train(run, small_corpus, tmp_path):
    """What it knows of terms is counted in the sample alone."""
    words = ("experiment=flagship", *small_corpus, "data.max_train_functions=5", "baseline=[]", "logger=none")
    run("train", *words, "trainer.max_epochs=1", "hydra.run.dir=run", cwd=tmp_path)
    trained = read_run(tmp_path / "run")
    ids, first = trained.first_bodies("test")
    corpus = Corpus.load(Path(trained.provenance["data_dir"]) / "corpus" / trained.provenance["artifacts"]["corpus"])
    student = Student.from_pretrained(trained.folder)
    views = student.predict(corpus.column("signature")), student.encode_bodies(corpus.column("body"))
    scores = score(*(take_views(each, torch.from_numpy(ids)) for each in views))
    torch.testing.assert_close(scores.diagonal(), torch.from_numpy(first.scores[:, -1]), rtol=1e-3, atol=1e-3)


def test_its_card_says_what_was_measured(sweep):
    folder = run_directory(sweep, "exp1_4")
    card = (folder / "student" / "README.md").read_text()
    run = read_run(folder)
    assert f"{100 * run.figure('test/rank10'):.2f} ±" in card
    assert "| BM25 " in card
    recorded = json.loads((folder / FILES_FILE).read_text())["files"]
    assert {"student/README.md", "student/model.safetensors", "student/config.json"} <= recorded.keys()
    from huggingface_hub import ModelCard

    results = {result.metric_type: result.metric_value for result in ModelCard(card).data.eval_results}
    assert results["rank1"] == pytest.approx(run.figure("test/rank1"))


def test_the_command_copies_it(sweep, run, tmp_path):
    source = run_directory(sweep, "exp1_4")
    run("export", f"student={source}", "output=mine", cwd=tmp_path)
    for name in ("model.safetensors", "config.json", "README.md"):
        assert (tmp_path / "mine" / name).read_bytes() == (source / "student" / name).read_bytes()
    refused = run("export", f"student={source}", "output=mine", cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert "overwrite=true" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow  # the wording is tested at the helper, the wiring above
def test_what_it_can_not_copy_ends_the_command(sweep, run, tmp_path):
    shutil.copytree(run_directory(sweep, "exp1_4") / "student", tmp_path / "changed")
    weights = tmp_path / "changed" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    for words, said in (
        (("student=changed",), "model.safetensors"),
        ((f"student={nothing}",), "is no student"),
        (("student=changed", "format=onxx"), "'onnx'"),
        (("student=changed", "negatives=knn"), "student="),
    ):
        done = run("export", *words, "output=out", cwd=tmp_path, check=False)
        assert done.returncode == 1, words
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_examples_use_it(sweep, run_python, tmp_path):
    examples = Path(__file__).resolve().parents[2] / "examples"
    folder = run_directory(sweep, "exp1_4")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    used = run_python([examples / "use_a_student.py", folder], tmp_path, environment)
    assert used.returncode == 0, used.stderr
    assert used.stdout.startswith(f"SigPredictor, {Student.from_pretrained(folder).fingerprint}")
    assert used.stdout.count("  ->  ") == 3
    pytest.importorskip("sentence_transformers")
    opened = run_python([examples / "sentence_transformers_student.py", folder / "student"], tmp_path, environment)
    assert opened.returncode == 0, opened.stderr
    assert opened.stdout.count("  ->  ") == 3
    assert "Rank@3 1.00" in opened.stdout
