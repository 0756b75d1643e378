from sigjepa.reporting.experiments import distinct_labels
from sigjepa.reporting.runs import by_experiment, find_runs
from sigjepa.reporting.tables import results_table
from sigjepa.store.files import read_json, write_json


def settings(rate, teacher="minilm"):
    return {"optimizer": {"lr": rate}, "teacher": {"name": teacher, "dim": len(teacher)}}


def test_one_experiment_keeps_its_name_and_others_of_it_say_what_differs():
    named = [("a", settings(1)), ("a", settings(1)), ("b", settings(2)), ("b", settings(3)), ("b", {})]
    assert distinct_labels(named) == ["a", "a", "b · optimizer.lr=2", "b · optimizer.lr=3", "b"]


def test_as_few_settings_as_tell_apart_are_named_a_name_first():
    named = [("a", settings(1, "minilm")), ("a", settings(2, "another"))]
    assert distinct_labels(named) == ["a · teacher.name=minilm", "a · teacher.name=another"]


def test_a_part_that_is_left_out_is_named_where_it_is_and_nowhere_else():
    parts = {"words": {"scale": 1, "lr": 2}, "names": {"scale": 3, "lr": 4}}
    named = [("a", {"parts": parts})] + [("a", {"parts": parts | {part: None}}) for part in parts]
    assert distinct_labels(named) == ["a", "a · parts.words=null", "a · parts.names=null"]


def test_long_values_stay_different():
    labels = distinct_labels([("a", {"note": "x" * 99 + end}) for end in "12"])
    assert len(set(labels)) == 2
    assert max(map(len, labels)) < 60


def test_what_words_do_not_tell_apart_a_hash_does():
    labels = distinct_labels([("a", {"x": 1}), ("a", {"x": "1"}), ("a", {"x": 1}), ("a", {"x": 2})])
    assert labels[0] == labels[2]
    assert len(set(labels)) == 3


def test_settings_of_one_name_are_rows_of_their_own_with_the_baselines_of_their_teacher(make_run, tmp_path):
    for seed in range(2):
        for name, teacher in (("x", "minilm"), ("y", "another")):
            make_run(f"{name}{seed}", seed=seed)
            identity = {"experiment": settings(1, teacher), "settings": {}, "artifacts": {}}
            write_json(tmp_path / f"{name}{seed}" / "job.json", identity)
    path = tmp_path / "y0" / "baselines.json"
    for seed in range(2):
        figures = read_json(path.parent.parent / f"y{seed}" / "baselines.json")
        figures["zero_shot"]["test/rank10"] = 0.123
        write_json(tmp_path / f"y{seed}" / "baselines.json", figures)
    runs = find_runs([tmp_path])
    assert {name: len(members) for name, members in by_experiment(runs).items()} == {
        "exp1_4 · teacher.name=another": 2,
        "exp1_4 · teacher.name=minilm": 2,
    }
    rows = [line for line in results_table(runs).splitlines() if "teacher zero-shot" in line]
    assert len(rows) == 2
    assert "12.30" in next(row for row in rows if "beside exp1_4 · teacher.name=another" in row)
    assert len([line for line in results_table(runs).splitlines() if line.startswith("| random")]) == 1
