"""Every YAML is composed and instantiated, and what a person can misspell is named back with the nearest valid word."""

import itertools
from pathlib import Path

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf

from sigjepa.data.datamodule import FunctionDataModule
from sigjepa.errors import SigjepaError
from sigjepa.export import EXPORT_KEYS
from sigjepa.negatives.index.ramp import Ramp
from sigjepa.pipeline import pipeline_of
from sigjepa.runtime.command import explain
from sigjepa.runtime.config_files import config_directory
from sigjepa.runtime.instantiate import RUN_KEYS, check_keys, component_class, instantiate, plain
from sigjepa.runtime.resolvers import folder_name, run_group
from sigjepa.runtime.words import quote_value
from sigjepa.runtime.yaml_comments import read_yaml

CONF = config_directory()
GROUPS = {path.parent.relative_to(CONF).as_posix(): [] for path in CONF.glob("*/**/*.yaml")}
for path in sorted(CONF.glob("*/**/*.yaml")):
    GROUPS[path.parent.relative_to(CONF).as_posix()].append(path.stem)
# `base` is what the other options of a group build on, complete in none of them
OPTIONS = {group: [(group, option) for option in options if option != "base"] for group, options in GROUPS.items()}
# groups that change others, one option a composition; of all other groups the first options together, the second, …
ALONE = {"experiment", "sweep", "loss", "negatives", "hydra", "hydra/launcher", "hydra/sweeper"}
CHOICES = [[choice] for group in ALONE & OPTIONS.keys() for choice in OPTIONS[group]] + [
    [choice for choice in row if choice is not None]
    for row in itertools.zip_longest(*(options for group, options in OPTIONS.items() if group not in ALONE))
]

# what an option needs beside itself to be complete
GIVEN = {
    ("corpus", "folder"): ["corpus.source.paths=[.]"],
    ("corpus", "git"): ["corpus.source.paths=[.]"],
    ("corpus", "jsonl"): ["corpus.source.path=functions.jsonl"],
    ("corpus", "huggingface"): ["corpus.source.path=rows.parquet"],
    ("negatives", "pairs_file"): ["negatives.path=knn_results.jsonl"],
    ("negatives", "index_file"): ["negatives.path=hard_negatives.json"],
    ("negatives/judge", "openai"): ["negatives.judge.model=tiny"],
    ("negatives/judge", "causal_lm"): ["negatives.judge.path=somewhere"],
    ("teacher", "hf"): ["teacher.path=somewhere", "teacher.dim=8"],
    ("sweep", "folds"): ["fold=0"],
}


# groups that stand at a place of their own instead of at the top
PLACES = {"schedule": "schedule@loss.infonce.schedule"}


def composed(folder, config_name, overrides):
    """Return what the entry points compose, `hydra:` interpolations included."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        words = [f"hydra.runtime.output_dir={folder}", *overrides]
        config = hydra.compose(config_name, words, return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
    return config


@pytest.fixture
def compose(tmp_path):
    """Compose the config of a command."""
    yield lambda *overrides, config_name="train": composed(tmp_path, config_name, overrides)
    HydraConfig.instance().cfg = None


@pytest.mark.parametrize("choices", sorted(CHOICES), ids=lambda row: ",".join(f"{group}={name}" for group, name in row))
def test_every_option_composes_and_instantiates(compose, choices):
    groups = {group for group, _ in choices}
    overrides = ["logger=none"] * ("logger" not in groups)
    if any(group.startswith("negatives/") for group in groups):
        overrides.append("negatives=knn")
    for group, option in choices:
        value = f"[{option}]" if group == "loss" else option
        overrides += [f"{PLACES.get(group, group)}={value}", *GIVEN.get((group, option), [])]
    config = compose(*overrides)
    assert config.name == dict(choices).get("experiment", config.name)
    resolved = plain(config)
    check_keys(resolved, RUN_KEYS)
    for name in ("loss", "optimizer", "scheduler", "callbacks", "metrics", "logger"):
        node = config[name]
        if name == "logger" and node is not None and "wandb" in node:
            node.wandb.mode = "disabled"
        built = instantiate(node)
        assert (built is None) == (node is None)
    assert instantiate(config.model, teacher_dim=8) is not None
    assert component_class(config.data, [], ["data"]) is FunctionDataModule
    assert pipeline_of(config).corpus is not None


OTHER_COMMANDS = [(name, experiment) for name in ("prepare", "evaluate") for experiment in ("exp2_1", "exp2_2")]


@pytest.mark.parametrize(("config_name", "experiment"), OTHER_COMMANDS)
def test_every_experiment_composes_under_its_own_name(compose, config_name, experiment):
    config = compose(f"experiment={experiment}", config_name=config_name)
    assert config.name == experiment
    own_keys = {"prepare": ("repair",), "evaluate": ("run", "split")}[config_name]
    check_keys(plain(config), (*RUN_KEYS, *own_keys))


def test_report_config_composes(compose):
    assert plain(compose("runs=multirun", config_name="report"))["split"] == "test"


def test_evaluate_config_has_the_keys_of_a_run_and_its_own(compose):
    resolved = plain(compose("baseline=[bm25]", config_name="evaluate"))
    check_keys(resolved, (*RUN_KEYS, "run", "split"))
    assert (resolved["baseline"], resolved["split"], resolved["run"]) == (["bm25"], "test", None)


def test_export_config_has_the_keys_of_a_run_and_its_own(compose):
    resolved = plain(compose("experiment=exp2_1", "output=published", config_name="export"))
    check_keys(resolved, EXPORT_KEYS)
    assert (resolved["output"], resolved["ids"], resolved["overwrite"]) == ("published", "position", False)
    with pytest.raises(SigjepaError, match="'output'"):
        plain(compose(config_name="export"))


@pytest.mark.parametrize("experiment", ["exp2_1", "hardneg_curriculum"])
@pytest.mark.parametrize("option", ["pairs_file", "index_file"])
def test_an_experiment_that_mines_takes_a_file_instead(compose, experiment, option):
    config = compose(f"experiment={experiment}", f"negatives={option}", "negatives.path=a.json", "logger=none")
    source = pipeline_of(config).negatives
    assert source.path == "a.json"
    assert (source.tiers, source.filter.max_score_c) == ((["phase0"], 1) if experiment == "exp2_1" else (None, 0))


def test_judge_agreement_has_a_judge_and_a_reference_of_the_same_group(compose):
    overrides = ["experiment=exp2_1", "negatives/judge=openai", "negatives.judge.model=tiny"]
    overrides += ["negatives/judge@reference=causal_lm", "reference.path=somewhere"]
    resolved = plain(compose(*overrides, config_name="judge_agreement"))
    check_keys(resolved, (*RUN_KEYS, "reference", "pairs", "labels"))
    assert resolved["negatives"]["judge"]["_target_"].endswith("OpenAIJudge")
    assert resolved["reference"]["_target_"].endswith("CausalLmJudge")
    assert plain(compose(config_name="judge_agreement"))["reference"]["_target_"].endswith("StructuralJudge")


def test_dashboard_config_composes_without_runs(compose):
    assert plain(compose(config_name="dashboard"))["dry_run"] is False


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_every_yaml_says_what_it_is_and_the_command_that_uses_it(path):
    head = [line for line in path.read_text().splitlines()[:12] if line.startswith("#")]
    assert any(" ".join(line.split()[1:]) for line in head if "@package" not in line)
    if path.name != "base.yaml" and path.parent.name != "hydra":
        assert any("python -m sigjepa." in line for line in head), f"{path} shows no command"


EXPLAINED = ("callbacks", "corpus", "data", "executor", "logger", "loss", "model", "optimizer", "paths", "scheduler")


@pytest.mark.parametrize("group", [*EXPLAINED, "teacher", "trainer"])
def test_every_setting_is_explained_where_help_reads_it(group):
    files = [read_yaml(path) for path in (CONF / group).glob("*.yaml")]
    keys = [(name, key) for file in files for name, key in file.keys.items()]
    explained = {name for name, key in keys if key.comment}
    settings = {name for name, key in keys if key.value is not None and not name.endswith(("_target_", "_partial_"))}
    assert settings - explained <= {"logger", "scheduler"}  # null as a whole, which the head explains


def flat(container, prefix=""):
    """Values by dotted key."""
    if not isinstance(container, dict):
        return {prefix[:-1]: container}
    return {key: value for name, node in container.items() for key, value in flat(node, f"{prefix}{name}.").items()}


REMEDIES = {
    "hardneg_coverage": {"negatives.tiers": None},
    "hardneg_score0": {"negatives.filter.max_score_c": 0},
    "hardneg_per_anchor": {"loss.infonce.mined_candidates": "per_anchor"},
    "hardneg_delayed": {"loss.infonce.schedule.start_epoch": 10, "loss.infonce.schedule.ramp_epochs": 3},
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The values of `experiment=exp2_1` by their dotted keys."""
    values = flat(plain(composed(tmp_path_factory.mktemp("published"), "train", ["experiment=exp2_1"])))
    HydraConfig.instance().cfg = None
    return values


def changes(published, config):
    """What differs from `experiment=exp2_1`, besides names and what the datamodule repeats of the negatives."""
    other = flat(config)
    assert published.keys() == other.keys()
    return {
        key: value
        for key, value in other.items()
        if value != published[key] and key.split(".")[0] in ("negatives", "loss", "model", "optimizer", "size")
    }


def test_exp2_1_is_the_published_one(compose):
    published = plain(compose("experiment=exp2_1"))
    assert published["negatives"]["tiers"] == ["phase0"]
    assert published["negatives"]["filter"]["max_score_c"] == 1
    assert published["loss"]["infonce"]["mined_candidates"] == "union"
    schedule = instantiate(compose("experiment=exp2_1").loss)["infonce"].schedule
    assert [schedule.value_at(epoch) for epoch in (0, 1, 50)] == [1, 1, 1]


@pytest.mark.parametrize("experiment", REMEDIES)
def test_a_remedy_is_exp2_1_with_one_thing_changed(compose, published, experiment):
    assert changes(published, plain(compose(f"experiment={experiment}"))) == REMEDIES[experiment]


def test_the_curriculum_is_all_remedies(compose, published):
    expected = {key: value for remedy in REMEDIES.values() for key, value in remedy.items()}
    assert changes(published, plain(compose("experiment=hardneg_curriculum"))) == expected


def sweep_jobs(name):
    """The overrides of every job that `-m sweep=<name>` starts."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        params = hydra.compose("train", [f"sweep={name}"], return_hydra_config=True).hydra.sweeper.params
    overrides = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()])
    values = [[f"{one.key_or_group}={value}" for value in one.sweep_string_iterator()] for one in overrides]
    return list(itertools.product(*values))


def test_the_factorial_crosses_every_remedy_once(compose, published):
    jobs = sweep_jobs("factorial")
    assert len({tuple(job) for job in jobs}) == 16
    first, *changed = [job for job in jobs if sum(map(str.__ne__, job, jobs[0])) < 2]  # in nothing, or in one remedy
    configs = [plain(compose("sweep=factorial", *job)) for job in (first, *changed)]
    keys = {*REMEDIES["hardneg_coverage"], *REMEDIES["hardneg_score0"], *REMEDIES["hardneg_per_anchor"]}
    keys.add("loss.infonce.schedule.start_epoch")
    assert [len(changes(published, config)) for config in configs] == [0, 1, 1, 1, 1]
    assert {key for config in configs for key in changes(published, config)} == keys
    assert len({config["name"] for config in configs}) == 5
    assert configs[0]["size"] == plain(compose("data=quick"))["size"]


def test_the_remedies_sweep_names_experiments_that_exist():
    jobs = sweep_jobs("remedies")
    assert {job[0].split("=")[1] for job in jobs} == {"exp1_4", "exp2_1", *REMEDIES, "hardneg_curriculum"}
    assert len(jobs) == 7 * 3


def test_the_sweep_of_folds_runs_each_fold_with_each_seed(compose):
    jobs = sweep_jobs("folds")
    assert {tuple(sorted(job)) for job in jobs} == {
        (f"fold={fold}", f"seed={seed}") for fold in range(5) for seed in range(3)
    }
    config = plain(compose("sweep=folds", *jobs[-1]))
    assert (config["folds"], config["fold"], config["seed"]) == (5, 4, 2)


def test_samplers_take_numbers_and_ramps(compose):
    def sampler(*words):
        return instantiate(compose("negatives=knn", *words).negatives).sampler

    nearest = sampler("negatives.sampler.number=3", "seed=5")
    assert (nearest.number, nearest.temperature, nearest.seed) == (3, 0.0, 5)
    ramp = ("+schedule@negatives.sampler.max_cosim=linear", "negatives.sampler.max_cosim.ramp_epochs=4")
    annealed = sampler("negatives/sampler=annealed", *ramp)
    assert annealed.temperature.value_at(0) > annealed.temperature.value_at(10) > annealed.temperature.value_at(15)
    assert annealed.temperature.value_at(15) == 0.01
    assert annealed.max_cosim.value_at(2) == 0.5
    assert sampler("negatives/sampler=uniform").temperature == float("inf")


def test_a_weight_is_a_number_or_a_ramp(compose):
    assert instantiate(compose("loss.infonce.schedule=0.5").loss)["infonce"].schedule == 0.5
    words = ("schedule@loss.infonce.schedule=cosine", "loss.infonce.schedule.start_epoch=10")
    assert instantiate(compose(*words).loss)["infonce"].schedule == Ramp(10, 5, shape="cosine")


def test_lowest_cosine_of_a_hard_negative_depends_on_the_teacher(compose):
    def min_cosim(*words):
        return compose(*words).negatives.filter.min_cosim

    assert min_cosim("negatives=knn") == min_cosim("negatives=pairs_file") == 0.60
    assert min_cosim("negatives=knn", "teacher=qwen2_5_coder_3b") == 0.80
    assert min_cosim("negatives=knn", "teacher=hf", "teacher.hard_negative_min_cosim=0.7") == 0.7
    assert min_cosim("negatives=knn", "~teacher.hard_negative_min_cosim") == 0.80  # an own teacher that does not say
    assert min_cosim("negatives=knn", "negatives.filter.min_cosim=0.7") == 0.7


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
        (override,) = parser.parse_overrides([quote_value(f"runs={value}")])
        assert (override.key_or_group, override.value()) == ("runs", value)
        assert not override.is_sweep_override()
    for argument in ("experiment=exp1_4,exp2_1", "runs=nowhere,else", "--help", "seed=0", "runs=."):
        assert quote_value(argument) == argument
