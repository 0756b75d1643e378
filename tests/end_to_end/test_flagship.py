"""The flagship at its commands, on a tiny corpus."""

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import sigjepa
from sigjepa.data.explanation import signature_terms
from sigjepa.reporting.hard_queries import hard_query_rows

READ_MISSES = Path(__file__).resolve().parents[2] / "examples" / "read_misses.py"

SETTINGS = ("experiment=flagship", "data=tiny", "data.batch_size=64", "data.random_bodies=20", "logger=none")
BASELINES = "baseline=[random,zero_shot_whitened,bm25,fusion]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run):
    """Two runs of two epochs, with and without free names."""
    folder = tmp_path_factory.mktemp("flagship")
    for name, overrides in (("whole", []), ("words", ["model.parts.free_names=null", "name=words_and_vectors"])):
        settings = (*SETTINGS, BASELINES, "trainer.max_epochs=2", f"hydra.run.dir=runs/{name}", *overrides)
        run("train", *settings, cwd=folder)
    return folder


def summary(folder, name):
    return json.loads((folder / "runs" / name / "summary.json").read_text())


def test_it_beats_word_matching_and_its_teacher_on_unseen_packages(folder):
    baselines = json.loads((folder / "runs" / "whole" / "baselines.json").read_text())
    strongest = max(figures["test/rank1"] for figures in baselines.values())
    whole, words = (summary(folder, name)["test/rank1"] for name in ("whole", "words"))
    assert whole > words
    assert whole > strongest


def test_its_ranks_come_from_the_whole_score(folder):
    run_dir = folder / "runs" / "whole"
    assert not (run_dir / "predictions.npz").exists()
    with np.load(run_dir / "ranks.npz") as ranks:
        best, worst = ranks["test_optimistic"], ranks["test_pessimistic"]
    hits = np.clip(2 - best, 0, worst - best + 1) / (worst - best + 1)
    assert summary(folder, "whole")["test/rank1"] == pytest.approx(hits.mean())
    with (run_dir / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[-1]["train/loss"]) < float(rows[0]["train/loss"])


def test_what_it_alone_ranks_first_is_read_with_the_shares_of_each_view(folder, run_python):
    run = sigjepa.read_run(folder / "runs" / "whole")
    words = [READ_MISSES, run.folder, "--only", "student", "--baseline", "bm25", "--queries", "3"]
    done = run_python(words, folder, os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    first = run.ranks("test")[1].optimistic == 1
    alone = first & (run.baseline_queries("bm25", "test").values["rank1"] == 0)
    assert done.stdout.startswith(f"{alone.sum()} of {len(alone)} queries")
    assert len(re.findall(r"^== .* rank 1$", done.stdout, re.M)) == 3
    scores = re.findall(r"^-- (own|second): .*  score (\S+): (.*)$", done.stdout, re.M)
    assert [title for title, _, _ in scores] == 3 * ["own", "second"]
    for _, score, shares in scores:
        assert sum(map(float, re.findall(r" ([+-][\d.]+)", shares))) == pytest.approx(float(score), abs=0.5)


def test_a_report_compares_and_explains_it_and_leaves_it_out_of_the_ceiling(folder, run):
    run("report", "runs=runs", "output=report", "explorer_queries=4", cwd=folder)
    report = (folder / "report" / "report.md").read_text()
    assert "words_and_vectors" in report
    assert "no student scores by the cosine" in report
    page = (folder / "report" / "report.html").read_text()
    shown = json.loads(re.search(r'id="explorer-data">(.*?)</script>', page)[1])
    assert (shown["runs"], shown["measures"]) == (["flagship", "words_and_vectors"], ["score", "score"])
    answers = [query["answers"][0] for query in shown["queries"]]
    assert len(answers) >= 8
    for answer in answers:
        for one in (answer, *answer["retrieved"]):
            shares = re.sub(r"\(.*?\)", "", one["why"])  # without the terms; small shares are left out
            assert sum(map(float, re.findall(r"[+-][\d.]+", shares))) == pytest.approx(one["score"], rel=0.25, abs=0.5)


def test_its_hardest_queries_are_explained(folder):
    run_dir = sigjepa.read_run(folder / "runs" / "whole")
    first = run_dir.first_bodies("test")[1]
    np.testing.assert_allclose(first.shares.values.sum(axis=1), first.scores.ravel(), rtol=1e-4, atol=1e-3)
    corpus = sigjepa.Corpus.load(
        Path(run_dir.provenance["data_dir"]) / "corpus" / run_dir.provenance["artifacts"]["corpus"]
    )
    rows = hard_query_rows(run_dir, corpus, count=5)
    ranks = run_dir.ranks("test")[1]
    assert [row["rank"] for row in rows] == sorted((ranks.optimistic + ranks.pessimistic) / 2, reverse=True)[:5]
    names = {*corpus.column("qualname")}
    for row in rows:
        assert {row["query"], row["found first"]} <= names
        texts = {"predicted words"}  # the other columns of a pair are the views, of which one is called words
        views = [row[name] for name in row if f"{name} of the first" in row and name not in texts]
        assert sum(views) == pytest.approx(row["score"], abs=1e-2)
        matched = {part.rsplit(" ", 1)[0] for part in row["matched words"].split(", ") if part}
        assert matched <= signature_terms(row["signature"])
        assert not row["predicted words"]  # all terms that this student knows of stand in the signature


def test_what_is_measured_in_the_space_of_the_teacher_is_refused(folder, run):
    done = run("evaluate", "run=runs/whole", BASELINES, cwd=folder, check=False)
    assert done.returncode == 1
    assert "runs/whole has no predicted vectors" in done.stderr
    assert "Traceback" not in done.stderr


def test_negatives_are_not_mined_by_vectors_that_it_does_not_predict(run, tmp_path):
    words = (*SETTINGS, "negatives=knn", "callbacks=refresh", "trainer.max_epochs=6", "paths.data_dir=own")
    done = run("train", *words, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "callbacks=refresh" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "own").exists()  # nothing was built


@pytest.mark.slow  # two processes import everything; tests/training/test_module.py has the check itself
def test_several_processes_are_refused(folder, run):
    done = run("train", *SETTINGS, "baseline=[]", "trainer=ddp_cpu", "trainer.max_epochs=1", cwd=folder, check=False)
    assert done.returncode == 1
    assert "trainer.devices=1" in done.stderr
