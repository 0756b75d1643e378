import hydra
import pytest
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

from sigjepa.errors import SigjepaError
from sigjepa.runtime.config_description import check_overrides, describe_config
from sigjepa.runtime.config_files import config_directory
from sigjepa.runtime.help import help_text
from sigjepa.runtime.yaml_comments import read_yaml


def dotted(container, prefix=""):
    """Every key of a composed config."""
    for key, value in container.items() if isinstance(container, dict) else ():
        yield f"{prefix}{key}"
        yield from dotted(value, f"{prefix}{key}.")


@pytest.mark.parametrize(
    "words",
    [
        ["train"],
        ["train", "experiment=exp2_2", "data=tiny", "logger=none", "teacher=qwen2_5_coder_3b"],
        ["judge_agreement", "experiment=hardneg_curriculum", "negatives/judge=openai", "negatives.judge.model=x"],
        ["report", "runs=x"],
        ["provenance", "path=x"],
    ],
)
def test_the_keys_are_those_that_hydra_composes(words):
    config_name, *overrides = words
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        composed = OmegaConf.to_container(hydra.compose(config_name, overrides))
    description = describe_config(config_name, overrides)
    assert description.complete
    assert set(description.keys) == set(dotted(composed))


def test_values_are_those_of_the_last_word():
    description = describe_config("train", ["experiment=exp2_1", "seed=7"])
    values = {name: description.keys[name].value for name in ("name", "seed", "negatives.tiers")}
    assert values == {"name": "exp2_1", "seed": "7", "negatives.tiers": "[phase0]"}
    assert description.keys["seed"].comment
    assert description.groups["experiment"].chosen == "exp2_1"
    assert "base" not in description.groups["corpus"].options


def test_own_folders_bring_options_and_keys(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# Mine\n_target_: torch.nn.Linear\nwidth: 3 # how wide\n")
    description = describe_config("train", ["model=mine", "model.width=4"], [tmp_path])
    assert (description.keys["model.width"].value, description.keys["model.width"].comment) == ("4", "how wide")
    check_overrides(description, ["model=mine", "model.width=4"])
    with pytest.raises(MissingConfigException):
        describe_config("train", ["model=mine"])


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["trainer.max_epoch=3"], "trainer.max_epochs"),
        (["negatves=knn"], "negatives"),
        (["model.hiden_dim=4"], "model.hidden_dim"),
        (["-m", "experiment=exp1_4,exp1_5"], "exp1_4"),
        (["-m", "sweep=remedis"], "remedies"),  # an optional group, which Hydra would do without
    ],
)
def test_a_misspelled_word_names_the_nearest(overrides, name):
    words = [word for word in overrides if "=" in word]
    with pytest.raises(SigjepaError, match=f"'{name}'"):
        check_overrides(describe_config("train", words), words)


@pytest.mark.parametrize(
    "words",
    [
        ["+anything.new=1", "anything.more=2"],  # whether it fits is known when it is composed
        ["++trainer.fast_dev_run=true"],
        ["~logger.wandb"],
        ["hydra.run.dir=x", "hydra/launcher=basic"],
        ["corpus.source.packages.x=1"],  # stands elsewhere
        ["experiment=exp1_4,exp2_1", "negatives.neighbors=3"],  # exists in some jobs
    ],
)
def test_what_only_a_composition_can_tell_is_left_to_it(words):
    check_overrides(describe_config("train", words), words)


def test_help_shows_options_keys_values_and_comments():
    text = help_text("train", describe_config("train", ["experiment=exp2_1"]), {})
    assert "   * exp2_1" in text
    assert "     exp1_4" in text
    assert "  name=exp2_1 " in text
    assert "  data.batch_size=64 " in text
    assert "functions per process and step" in text
    assert "_target_" not in text.replace("`_target_`", "").split("Keys")[1].split("trainer.plugins")[0]
    assert all(len(line) <= 100 for line in text.splitlines() if "=" not in line and "python -m" not in line)


def test_comments_are_read_as_they_are_written(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        "# @package _global_\n# What it is. More of it.\n#   python -m sigjepa.train x=1\n"
        "defaults:\n  - override /model: small # which student\n\n"
        "a: 1 # one, '#' too\n# above\nb: '#no' \nlist: # behind a list\n  - x\n  - y\n"
        "node: # behind a node\n  c: {k: v} # flow\n  d:\n"
    )
    file = read_yaml(path)
    assert (file.summary(), file.commands()) == ("What it is", ["python -m sigjepa.train x=1"])
    assert file.groups == {"model": "which student"}
    told = {name: (key.value, key.comment) for name, key in file.keys.items()}
    assert told == {
        "a": ("1", "one, '#' too"),
        "b": ("'#no'", "above"),
        "list": ("[x, y]", "behind a list"),
        "node": (None, "behind a node"),
        "node.c": (None, "flow"),
        "node.c.k": ("v", "flow"),
        "node.d": ("null", ""),
    }
