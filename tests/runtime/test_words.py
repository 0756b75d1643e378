"""What a shell gives as one word, Hydra takes as one value."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from sigjepa.errors import SigjepaError
from sigjepa.runtime.words import parse_words, quote_value

NAMES = (
    "größe/数据",
    "it's",
    "a (1)",
    "run#2",
    "a(b)",
    "50% off!",
    "a&b;c",
    "~user",
    "x{y",
    'say "hi"',
    "tilde~",
    "a b",
)


def value_of(word):
    override = OverridesParser.create().parse_override(quote_value(word))
    assert override.key_or_group == "path"
    return override.value()


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_taken_as_typed(name):
    assert value_of(f"path={name}") == name


@pytest.mark.parametrize("name", [*NAMES, "a=b"])
def test_a_path_in_a_list_is_taken_as_typed(name):
    assert value_of(f"path=[{name}]") == [name]
    assert value_of(f"path=[plain, {name},other/folder]") == ["plain", name, "other/folder"]


def test_values_of_a_sweep_stay_apart():
    override = OverridesParser.create().parse_override(quote_value("path=größe,it's,plain"))
    assert override.is_choice_sweep()
    assert [value_of(f"path={value}") for value in override.sweep_string_iterator()] == ["größe", "it's", "plain"]


@pytest.mark.parametrize("name", ["a=b", "a,b", "range(3)", "(1)"])
def test_a_path_that_exists_is_one_value(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert value_of(f"path={name}") == name


@pytest.mark.parametrize(
    "word",
    [
        *("seed=0,1", "seed=range(3)", "loss=[infonce,token_smooth_l1]", 'path=["a,b",c]', "model={dropout: 0.1}"),
        *("+trainer.limit_val_batches=2", "~callbacks.early_stopping", "name=", "path=${paths.data_dir}/x", "--help"),
    ],
)
def test_what_hydra_understands_is_left_as_it_is(word):
    assert quote_value(word) == word


def test_words_are_hydras_or_refused_with_the_nearest():
    options, overrides = parse_words(["seed=1", "-m", "experiment=exp1_4", "--config-dir", "own"])
    assert (options.multirun, options.config_dir, overrides) == (True, "own", ["seed=1", "experiment=exp1_4"])
    with pytest.raises(SigjepaError, match="'--multi-run'.*'--multirun'"):
        parse_words(["--multi-run"])
    with pytest.raises(SigjepaError, match="cfg"):
        parse_words(["--cfg", "jbo"])
    for words in (["--config-path", "own"], ["-cp=own"], ["--experimental-rerun", "config.pickle"]):
        with pytest.raises(SigjepaError, match="--config-dir|pickle"):
            parse_words(words)


def test_a_folder_that_is_not_there_is_one_value():
    assert value_of("path=multirun/seed=1,name=x") == "multirun/seed=1,name=x"
