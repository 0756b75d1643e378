import json
from dataclasses import replace

import pytest

from sigjepa.errors import SigjepaError
from sigjepa.reporting.report_folder import (
    check_comparable,
    evidence_or_reason,
    report_markdown,
    title_of,
    write_report,
)
from sigjepa.reporting.runs import find_runs
from sigjepa.reporting.sections import hard_negatives_section
from sigjepa.store.files import write_json

OPTIONS = {
    "command": "python -m sigjepa.report runs=sweep",
    "baseline": None,
    "split": "test",
    "metric": None,
    "epochs": [0, 1],
    "published": False,
    "power": None,
}


@pytest.fixture(scope="module")
def sweep(make_shared_run):
    """Two experiments of three seeds, one of them with hard negatives, and a job that failed."""
    for seed in range(3):
        make_shared_run(f"a{seed}", seed=seed, skill=0.3)
        root = make_shared_run(f"b{seed}", experiment="exp2_1", seed=seed, skill=0.9, mined=True).folder.parent
    (root / "broken").mkdir()
    (root / "broken" / "summary.json").write_text(
        json.dumps({"experiment": "exp2_2", "seed": 0, "status": "failed", "error": "no | memory"})
    )
    return root


def markdown_of(runs, folder, **changed):
    finished = [run for run in runs if run.status == "finished"]
    options = OPTIONS | {"evidence": evidence_or_reason(finished, None)} | changed
    return report_markdown(runs, folder / "figures", **options)


def sections_of(markdown):
    parts = markdown.split("\n## ")
    return {part.split("\n", 1)[0]: part for part in parts[1:]}


@pytest.fixture(scope="module")
def markdown(sweep):
    """The report of `sweep`, which asks for a difference of two points."""
    return markdown_of(find_runs([sweep]), sweep / "report", power=2.0)


@pytest.fixture(scope="module")
def sections(markdown):
    """The sections of the report of `sweep`, by title."""
    return sections_of(markdown)


def test_a_report_has_every_section_and_figure(sweep, sections):
    assert list(sections) == [
        *(
            "What the figures support",
            "Runs",
            "Results",
            "Unseen signatures",
            "Training curves",
            "Tests",
            "The teacher's ceiling",
        ),
        *("Hard negatives", "Health", "Configuration differences", "Origin"),
    ]
    names = {path.name for path in (sweep / "report" / "figures").iterdir()}
    assert names == {
        f"{name}.{kind}" for name in ("curves", "differences", "health", "mined") for kind in ("png", "json")
    }


def test_the_verdict_of_the_tests_is_what_the_report_says(sections):
    assert "exp2_1 is better than exp1_4" in sections["What the figures support"]
    (row,) = [line for line in sections["Results"].splitlines() if "| exp1_4" in line and "Rank@10" in line]
    assert row.split("|")[2].strip() == "better"


def test_what_selected_the_checkpoint_is_said_of_each_experiment_where_it_differs(make_run, tmp_path, sections):
    assert "of the checkpoint that was best on val Rank@10. Baselines" in sections["Results"]
    make_run("a")
    make_run("b", experiment="exp2_1")
    make_run("c", experiment="exp2_2", monitor="val/mrr")
    results = sections_of(markdown_of(find_runs([tmp_path]), tmp_path))["Results"]
    assert "best on val Rank@10 (exp1_4, exp2_1), val MRR (exp2_2). Baselines" in results


def test_failed_runs_are_listed_with_their_reason(sections):
    section = sections["Runs"]
    assert "6 of 7 runs are finished" in section
    assert "| exp2_2" in section
    assert r"no \| memory" in section


def test_hard_negatives_are_summed_up_where_they_were_mined(sections):
    section = sections["Hard negatives"]
    assert "| Judge " in section
    assert "Union dilution" in section
    assert "Exp 2.1" in section


def test_an_index_of_one_fold_says_of_which(make_run, sections):
    runs = [make_run(f"f{fold}", experiment="exp2_1", mined=True, folds=2, fold=fold) for fold in range(2)]
    assert "| statistic   | exp2_1, fold 0 |" in hard_negatives_section(runs)
    assert "fold" not in sections["Hard negatives"]


def test_without_artifacts_the_ceiling_says_what_is_missing(sections):
    section = sections["The teacher's ceiling"]
    assert "Not measured" in section
    assert "data_dir=" in section


def test_published_figures_stand_beside_marked(sweep, tmp_path):
    section = sections_of(markdown_of(find_runs([sweep]), tmp_path, published=True))["Results"]
    header = next(line for line in section.splitlines() if "published ‡" in line and line.startswith("|"))
    columns = [cell.strip() for cell in header.strip("|").split("|")]
    assert columns[1:4] == ["exp1_4", "exp2_1", "Δ exp2_1"]
    (row,) = [line for line in section.splitlines() if line.startswith("| val Rank@10 ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[columns.index("Δ exp2_1 published ‡")] == "-0.39"
    assert "another teacher" in section


def test_one_seed_gets_no_interval_and_the_reason(make_run, tmp_path):
    make_run("a")
    make_run("b", experiment="exp2_1")
    sections = sections_of(markdown_of(find_runs([tmp_path]), tmp_path))
    assert "±" not in sections["Results"].split("Differences")[0].replace("there is no ±", "")
    assert "With one seed there is no ±" in sections["Results"]
    assert "One seed each: the noise of seeds is unknown" in sections["What the figures support"]


def test_two_runs_of_one_seed_are_no_repetition_and_it_is_said(make_run, tmp_path):
    runs = [make_run("a"), make_run("again"), make_run("b", experiment="exp2_1")]
    section = sections_of(markdown_of(runs, tmp_path))["Results"]
    assert "- exp1_4 has no interval: several runs have seed 0." in section
    assert "±" not in section.split("- exp1_4")[0].split("|", 1)[1]


def test_ranks_in_a_sampled_pool_say_so_and_are_compared_with_no_other(make_run, tmp_path):
    pools = {split: f"pool of 20 sampled of {size}, seed 0" for split, size in (("val", 400), ("test", 300))}
    whole, sampled, alike = make_run("a"), make_run("b", "exp2_1", pools=pools), make_run("c", "exp2_2", pools=pools)
    other = make_run("d", "exp2_1", pools=pools | {"test": "pool of 20 sampled of 300, seed 1"})
    for different in (whole, other):
        with pytest.raises(SigjepaError, match=r"sampled of 300, seed 0.*allow_different_pools=true"):
            check_comparable([different, sampled], allow_different_pools=False)
    check_comparable([sampled, alike], allow_different_pools=False)
    results = sections_of(markdown_of([sampled, alike], tmp_path))["Results"]
    said = "on val in a pool of 20 sampled of 400, seed 0, on test in a pool of 20 sampled of 300, seed 0"
    assert said in results
    assert "| on test, val pool of 20 sampled of 400, seed 0, test pool of 20 sampled of 300, seed 0 " in results
    assert "†" not in results
    mixed = sections_of(markdown_of([whole, sampled], tmp_path))["Results"]
    assert "| exp2_1 †, val pool of 20 sampled of 400, seed 0, test pool of 20 sampled of 300, seed 0 " in mixed
    assert said in mixed


def test_runs_on_different_corpora_are_refused_unless_asked_for_and_then_marked(make_run, tmp_path):
    runs = [make_run("a"), make_run("b", experiment="exp2_1", corpus_hash="xxh3_128:b")]
    with pytest.raises(SigjepaError, match=r"xxh3_128:a.*xxh3_128:b.*allow_different_pools=true"):
        check_comparable(runs, allow_different_pools=False)
    check_comparable(runs, allow_different_pools=True)
    check_comparable(runs[:1], allow_different_pools=False)
    sections = sections_of(markdown_of(runs, tmp_path))
    assert "| exp2_1 †" in sections["Results"]
    assert "no test was made" in sections["Results"]
    assert "not tested: seed 0: the pools differ" in sections["Results"]


def test_an_unknown_baseline_names_the_nearest(sweep, tmp_path):
    with pytest.raises(SigjepaError, match="exp1_5.*'exp1_4'"):
        markdown_of(find_runs([sweep]), tmp_path, baseline="exp1_5")


def test_the_best_trial_of_folds_is_named(make_run, tmp_path):
    for rate, skill in ((0.1, 0.3), (0.2, 0.9)):
        for fold in range(2):
            run = make_run(f"{rate}-{fold}", folds=2, fold=fold, skill=skill)
            write_json(run.folder / "job.json", {"experiment": {"lr": rate}, "settings": {}, "artifacts": {}})
    said = sections_of(markdown_of(find_runs([tmp_path]), tmp_path))["What the figures support"]
    assert "Of 2 experiments called exp1_4, the best on val Rank@10" in said
    assert "exp1_4 · lr=0.2 (" in said.split("Of 2 experiments")[1]
    assert ", one seed;" in said


def test_before_any_run_is_finished_there_are_curves_and_a_list(make_run, tmp_path):
    make_run("a")
    (tmp_path / "a" / "summary.json").write_text('{"status": "running", "experiment": "exp1_4", "seed": 0}')
    markdown = markdown_of(find_runs([tmp_path]), tmp_path)
    assert list(sections_of(markdown)) == ["Runs", "Training curves"]
    assert "0 of 1 runs are finished" in markdown


@pytest.mark.parametrize("others", [0, 1])
def test_a_run_that_has_not_validated_yet_is_left_out_of_the_curves(make_run, tmp_path, others):
    for name in "abc"[: 1 + others]:
        make_run(name, seed=ord(name))
    (tmp_path / "a" / "metrics.csv").write_text("epoch,val/rank10,train/loss\n0,,4.0\n")
    (tmp_path / "a" / "summary.json").write_text('{"status": "running", "experiment": "exp2_1", "seed": 0}')
    sections = sections_of(markdown_of(find_runs([tmp_path]), tmp_path))
    assert "| exp2_1" in sections["Runs"]
    assert ("Training curves" in sections) == bool(others)
    assert "exp2_1" not in sections.get("Training curves", "")
    with pytest.raises(SigjepaError, match="val/rank1O"):
        markdown_of(find_runs([tmp_path]), tmp_path, metric="val/rank1O")


def test_the_folder_is_written_whole(sweep, markdown):
    output = sweep / "report"
    page = write_report(output, markdown, "a title")
    assert page == output / "report.html"
    assert {path.name for path in output.iterdir()} == {"report.md", "report.html", "figures"}
    assert "exp2_1 is better than exp1_4" in page.read_text()


def test_a_difference_that_is_asked_for_gets_the_seeds_that_show_it(sections):
    said = sections["What the figures support"]
    assert "a true difference of 2 points of test Rank@10 from exp1_4" in said
    assert "exp2_1 " in said.split("a true difference of 2 points")[1]


def test_queries_whose_signature_is_not_in_train_have_a_table_of_their_own(sweep, sections):
    runs = find_runs([sweep])
    section = sections["Unseen signatures"]
    unseen = ~runs[0].pool_facts("test").in_train
    header = next(line for line in section.splitlines() if line.startswith("| on unseen signatures"))
    row = next(line for line in section.split(header)[1].splitlines() if line.startswith("| exp2_1"))
    cells = dict(zip(*([cell.strip() for cell in line.strip("|").split("|")] for line in (header, row)), strict=True))
    members = [run for run in runs if run.experiment == "exp2_1" and run.status == "finished"]
    expected = sum(run.queries("test").values["rank10"][unseen].mean() for run in members) / len(members)
    assert cells["Rank@10"] == f"{100 * expected:.2f}"


def test_the_title_names_the_experiments_that_are_finished(make_run):
    finished = make_run("a")
    failed = replace(finished, status="failed", label="2026-02-24_12-00-00-000000")
    assert title_of([failed, finished]) == "sigjepa: exp1_4"
    assert title_of([failed]) == "sigjepa: 2026-02-24_12-00-00-000000"
