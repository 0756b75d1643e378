import pytest

from sigjepa.reporting.comparison import compare
from sigjepa.reporting.conclusions import FINDING_HEADER
from sigjepa.reporting.diagnoses import REMEDIES, diagnosis_rows, diagnosis_sentences, remedy_pairs
from sigjepa.reporting.runs import find_runs
from sigjepa.reporting.sections import diagnoses_section
from sigjepa.store.files import write_json

SKILLS = {
    "exp1_4": 0.5,
    "exp2_1": 0.5,
    "hardneg_coverage": 0.9,
    "hardneg_delayed": 0.1,
    "hardneg_score0": 0.52,
}


def compare_remedies(runs, split):
    return compare(runs, "exp2_1", trivial=(), split=split, also=remedy_pairs(runs))


@pytest.fixture
def runs(make_run):
    return [
        make_run(f"{experiment}-{seed}", experiment=experiment, seed=seed, skill=skill)
        for experiment, skill in SKILLS.items()
        for seed in range(3)
    ]


def test_a_reason_is_supported_only_where_its_remedy_is_better_by_the_tests(runs):
    sentences = diagnosis_sentences(compare_remedies(runs, "test"))
    assert [sentence.split(",")[0] for sentence in sentences] == [
        "coverage asymmetry: supported",
        "too hard too early: contradicted",
        "ambiguous score_c = 1: neither supported nor ruled out",
    ]
    assert "points of test Rank@10 by taking it away (hardneg_coverage), better." in sentences[0]
    assert sentences[2].endswith("within noise.")


def test_remedies_are_compared_with_exp2_1_alone(runs):
    comparison = compare_remedies(runs, "val")
    assert (comparison.baseline, comparison.split) == ("exp2_1", "val")
    assert {finding.experiment for finding in comparison.also} == set(SKILLS) - {"exp1_4", "exp2_1"}
    rows = diagnosis_rows(comparison)
    assert [row[0] for row in rows] == [REMEDIES[row[1]] for row in rows]
    assert {len(row) for row in rows} == {len(FINDING_HEADER) + 1}
    assert {row[4] for row in rows} == {"Rank@10"}


@pytest.mark.parametrize("missing", ["exp2_1", "hardneg_"])
def test_without_exp2_1_or_a_remedy_there_is_nothing_to_diagnose(runs, missing):
    assert remedy_pairs([run for run in runs if not run.experiment.startswith(missing)]) == []


def test_a_remedy_that_can_not_be_paired_is_said_to_be_not_tested(make_run):
    runs = [make_run("a", experiment="exp2_1", seed=0), make_run("b", experiment="hardneg_coverage", seed=1)]
    (sentence,) = diagnosis_sentences(compare_remedies(runs, "test"))
    assert sentence.startswith("coverage asymmetry: not tested (seed 1: the baseline has 0 finished runs")


def test_the_section_says_all_of_it(runs):
    text = diagnoses_section(compare_remedies(runs, "test"))
    assert text.startswith("## The four diagnoses")
    assert "- coverage asymmetry: supported" in text
    assert "| coverage asymmetry " in text


def with_settings(folder, **settings):
    write_json(folder / "job.json", {"experiment": settings, "settings": {}, "artifacts": {}})


def test_a_remedy_is_paired_with_the_exp2_1_of_the_same_further_settings(make_run, tmp_path):
    for rate in (1, 2):
        make_run(f"base{rate}", experiment="exp2_1")
        with_settings(tmp_path / f"base{rate}", optimizer={"lr": rate}, negatives={"filter": {"max_score_c": 1}})
    make_run("remedy", experiment="hardneg_score0")
    with_settings(tmp_path / "remedy", optimizer={"lr": 2}, negatives={"filter": {"max_score_c": 0}})
    assert remedy_pairs(find_runs([tmp_path])) == [("hardneg_score0", "exp2_1 · optimizer.lr=2")]


def test_a_remedy_that_differs_in_something_else_is_none(make_run, tmp_path):
    for name, experiment, rate in (("base", "exp2_1", 1), ("remedy", "hardneg_score0", 2)):
        make_run(name, experiment=experiment)
        with_settings(tmp_path / name, optimizer={"lr": rate})
    assert remedy_pairs(find_runs([tmp_path])) == []
