"""Every YAML is composed and instantiated, and what a person can misspell is named back with the nearest valid word."""

from pathlib import Path

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf

from sigjepa.entry import config_directory, explain, folder_name, quote_path, run_group
from sigjepa.instantiate import RUN_KEYS, check_keys, instantiate, plain

CONF = config_directory()
GROUPS = {path.parent.name: [] for path in CONF.glob("*/*.yaml")}
for path in sorted(CONF.glob("*/*.yaml")):
    GROUPS[path.parent.name].append(path.stem)
# `base` is what the other options of a group build on, complete in none of them
OPTIONS = [(group, option) for group, options in GROUPS.items() for option in options if option != "base"]
EXPERIMENTS = GROUPS["experiment"]

# what an option needs beside itself to be complete
GIVEN = {
    ("corpus", "folder"): ["corpus.source.paths=[.]"],
    ("corpus", "git"): ["corpus.source.paths=[.]"],
    ("corpus", "jsonl"): ["corpus.source.path=functions.jsonl"],
    ("judge", "openai"): ["judge.model=tiny"],
    ("judge", "causal_lm"): ["judge.path=somewhere"],
    ("teacher", "hf"): ["teacher.path=somewhere", "teacher.dim=8"],
}


@pytest.fixture
def compose(tmp_path):
    """Compose as the entry points do, `hydra:` interpolations included."""

    def make(*overrides, config_name="train"):
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            config = hydra.compose(
                config_name,
                [f"hydra.runtime.output_dir={tmp_path}", *overrides],
                return_hydra_config=True,
            )
            HydraConfig.instance().set_config(config)
            OmegaConf.set_struct(config, False)
            del config["hydra"]
        return config

    yield make
    HydraConfig.instance().cfg = None


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}={option}" for group, option in OPTIONS])
def test_every_option_composes_and_instantiates(compose, tmp_path, group, option):
    value = f"[{option}]" if group == "loss" else option
    overrides = [f"{group}={value}", *GIVEN.get((group, option), [])]
    if group != "logger":
        overrides.append("logger=none")
    config = compose(*overrides)
    resolved = plain(config)
    check_keys(resolved, RUN_KEYS)
    for name in ("loss", "optimizer", "scheduler", "callbacks", "data", "logger"):
        node = config[name]
        if name == "logger" and node is not None and "wandb" in node:
            node.wandb.mode = "disabled"
        built = instantiate(node)
        assert (built is None) == (node is None)
    assert instantiate(config.model, teacher_dim=8) is not None


@pytest.mark.parametrize("config_name", ["train", "prepare", "evaluate"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_under_its_own_name(compose, config_name, experiment):
    config = compose(f"experiment={experiment}", config_name=config_name)
    assert config.name == experiment
    check_keys(plain(config), (*RUN_KEYS, "run", "split") if config_name == "evaluate" else RUN_KEYS)


def test_report_config_composes(compose):
    assert plain(compose("runs=multirun", config_name="report"))["metric"] == "val/rank10"


def test_evaluate_config_has_the_keys_of_a_run_and_its_own(compose):
    resolved = plain(compose("baseline=[bm25]", config_name="evaluate"))
    check_keys(resolved, (*RUN_KEYS, "run", "split"))
    assert (resolved["baseline"], resolved["split"], resolved["run"]) == (["bm25"], "test", None)


def test_judge_agreement_has_a_judge_and_a_reference_of_the_same_group(compose):
    overrides = ["experiment=exp2_1", "judge=openai", "judge.model=tiny", "judge@reference=causal_lm"]
    resolved = plain(compose(*overrides, "reference.path=somewhere", config_name="judge_agreement"))
    check_keys(resolved, (*RUN_KEYS, "reference", "pairs", "labels"))
    assert resolved["judge"]["_target_"].endswith("OpenAIJudge")
    assert resolved["reference"]["_target_"].endswith("CausalLmJudge")
    assert resolved["negatives"]["judge"] == resolved["judge"]
    assert plain(compose(config_name="judge_agreement"))["reference"]["_target_"].endswith("StructuralJudge")


def test_dashboard_config_composes_without_runs(compose):
    assert plain(compose(config_name="dashboard"))["dry_run"] is False


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_every_yaml_says_what_it_is_and_the_command_that_uses_it(path):
    head = [line for line in path.read_text().splitlines()[:12] if line.startswith("#")]
    assert any(" ".join(line.split()[1:]) for line in head if "@package" not in line)
    if path.name != "base.yaml" and path.parent.name != "hydra":
        assert any("python -m sigjepa." in line for line in head), f"{path} shows no command"


def test_failure_mode_switches_change_one_thing_each(compose):
    published = plain(compose("experiment=exp2_1"))
    assert published["negatives"]["tiers"] == ["phase0"]
    assert published["negatives"]["max_score_c"] == 1
    assert published["loss"]["infonce"]["mined_candidates"] == "union"
    assert published["loss"]["infonce"]["schedule"]["start_epoch"] == 0
    switches = {
        "negatives.tiers=null": ("negatives", "tiers"),
        "negatives.max_score_c=0": ("negatives", "max_score_c"),
        "loss.infonce.schedule.start_epoch=10": ("loss", "infonce", "schedule", "start_epoch"),
        "loss.infonce.mined_candidates=per_anchor": ("loss", "infonce", "mined_candidates"),
    }
    for override, keys in switches.items():
        changed = plain(compose("experiment=exp2_1", override))
        node = changed
        for key in keys:
            node = node[key]
        assert str(node) == override.split("=")[1].replace("null", "None")


def test_lowest_cosine_of_a_hard_negative_depends_on_the_teacher(compose):
    assert compose("negatives=knn").negatives.min_cosim == 0.60
    assert compose("negatives=knn", "teacher=qwen2_5_coder_3b").negatives.min_cosim == 0.80
    assert compose("negatives=knn", "negatives.min_cosim=0.7").negatives.min_cosim == 0.7


def test_loss_terms_compose_as_a_list(compose):
    config = compose("loss=[infonce,token_smooth_l1]")
    assert list(config.loss) == ["infonce", "token_smooth_l1"]


def test_data_directory_follows_the_environment(compose, monkeypatch):
    monkeypatch.setenv("SIGJEPA_DATA_DIR", "elsewhere")
    assert compose().paths.data_dir == "elsewhere"


def error_of(*overrides):
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    with (
        pytest.raises((HydraException, OmegaConfBaseException)) as caught,
        hydra.initialize_config_dir(str(CONF), version_base="1.3"),
    ):
        hydra.compose("train", list(overrides))
    return explain(caught.value, "train", list(overrides))


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("trainer.max_epoch=3", "Did you mean 'trainer.max_epochs'?"),
        ("negatves=knn", "Did you mean 'negatives'?"),
        ("experiment=exp14", "Did you mean 'exp1_4'?"),
        ("data=quik", "Did you mean 'quick'?"),
        ("loss.infonce.temprature=0.1", "Did you mean 'loss.infonce.temperature'?"),
        ("model.hiden_dim=4", "Did you mean 'model.hidden_dim'?"),
        ("loss=[infonse]", "Did you mean 'infonce'?"),
    ],
)
def test_a_misspelt_override_names_the_nearest(override, hint):
    assert hint in error_of(override)


def test_folder_names_are_safe_and_short():
    assert folder_name("experiment=exp1_4,seed=0") == "experiment=exp1_4,seed=0"
    assert folder_name("") == "default"
    assert "/" not in folder_name("corpus.source.paths=[/a/b]")
    long = [folder_name("x=" + "a" * 300 + end) for end in "bc"]
    assert len(long[0]) < 150
    assert long[0] != long[1]


def test_jobs_of_a_sweep_are_grouped_by_it_and_single_runs_by_experiment():
    assert run_group(RunMode.MULTIRUN, "multirun/2026-02-24", "exp1_4") == "2026-02-24"
    assert run_group(RunMode.RUN, "multirun/2026-02-24", "exp1_4") == "exp1_4"


def test_conf_lies_beside_the_package_in_a_checkout():
    assert Path(__file__).resolve().parents[1] / "conf" == CONF


def test_a_path_that_exists_is_quoted_for_hydra(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "experiment=exp1_4,seed=0"
    folder.mkdir()
    parser = OverridesParser.create()
    for value in (folder.name, str(folder)):
        (override,) = parser.parse_overrides([quote_path(f"runs={value}")])
        assert (override.key_or_group, override.value()) == ("runs", value)
        assert not override.is_sweep_override()
    for argument in ("experiment=exp1_4,exp2_1", "runs=nowhere,else", "--help", "seed=0", "runs=."):
        assert quote_path(argument) == argument
