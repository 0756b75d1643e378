import pytest

from sigjepa.reporting.configurations import configuration_differences, flatten


def test_flatten_gives_every_leaf():
    assert dict(flatten({"a": {"b": 1, "c": []}, "d": None})) == {"a.b": 1, "a.c": [], "d": None}


def test_only_what_differs_is_shown_by_experiment(make_run):
    runs = [
        make_run("a", config={"optimizer": {"lr": 0.1, "decay": 0}, "negatives": None}),
        make_run("b", experiment="exp2_1", config={"optimizer": {"lr": 0.2, "decay": 0}, "negatives": {"max": 1}}),
    ]
    assert configuration_differences(runs) == {
        "optimizer.lr": {"exp1_4": "0.1", "exp2_1": "0.2"},
        "negatives": {"exp1_4": "null", "exp2_1": "-"},
        "negatives.max": {"exp1_4": "-", "exp2_1": "1"},
    }


def test_seeds_paths_and_names_are_no_difference_but_values_within_an_experiment_are(make_run):
    runs = [
        make_run("a", seed=0, config={"size": 1, "paths": {"run_dir": "a"}}),
        make_run("b", seed=1, config={"size": 2, "paths": {"run_dir": "b"}}),
    ]
    assert configuration_differences(runs) == {"size": {"exp1_4": "1 / 2"}}


def test_where_a_run_writes_is_no_difference_but_its_callbacks_are(make_run):
    def config(folder, patience):
        stopping = {"dirpath": f"{folder}/checkpoints", "patience": patience}
        return {"paths": {"run_dir": folder}, "trainer": {"root": folder}, "callbacks": {"stopping": stopping}}

    runs = [make_run("a", config=config("/x/a", 15)), make_run("b", experiment="exp2_1", config=config("/x/b", 30))]
    assert configuration_differences(runs) == {"callbacks.stopping.patience": {"exp1_4": "15", "exp2_1": "30"}}


@pytest.mark.parametrize("folder", ["0", ".", "/x/a"])
def test_a_value_that_holds_the_letters_of_the_folder_is_compared_and_one_below_it_is_not(make_run, folder):
    def config(own, lr, note):
        places = {"here": own, "below": f"{own}/checkpoints"}
        return {"paths": {"run_dir": own}, "optimizer": {"lr": lr, "note": note}, "places": places}

    runs = [
        make_run("a", config=config(folder, 0.10, f"v{folder}0")),
        make_run("b", experiment="exp2_1", config=config("1", 0.01, f"v{folder}1")),
    ]
    assert set(configuration_differences(runs)) == {"optimizer.lr", "optimizer.note"}


def test_another_corpus_or_commit_is_a_difference(make_run):
    runs = [make_run("a"), make_run("b", experiment="exp2_1", corpus_hash="xxh3_128:b")]
    assert configuration_differences(runs) == {
        "artifacts.corpus_hash": {"exp1_4": "xxh3_128:a", "exp2_1": "xxh3_128:b"}
    }
