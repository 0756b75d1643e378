"""The shipped configs of this room, composed with Hydra under a root config of the test's own."""

import inspect
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

import sigjepa.runtime.resolvers  # noqa: F401 - registers the resolver `choose`
from sigjepa.negatives.judging.judges.causal_lm import CausalLmJudge
from sigjepa.negatives.judging.judges.openai_judge import OpenAIJudge
from sigjepa.negatives.judging.judges.structural import StructuralJudge
from sigjepa.negatives.mining.approximate import InvertedLists, SmallWorld
from sigjepa.negatives.mining.search import Search
from sigjepa.negatives.recipe import NegativesRecipe

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def compose_with(tmp_path):
    """Compose a root config that chooses a judge and negatives, as the real one does."""
    (tmp_path / "root.yaml").write_text(
        "defaults:\n  - judge: structural\n  - negatives: knn\n  - _self_\nseed: 0\nteacher: {name: any}\n"
    )

    def composed(*overrides):
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            return compose("root", overrides=[f"hydra.searchpath=[file://{CONF}]", *overrides])

    return composed


def test_recipe_receives_the_judge_through_the_interpolation(compose_with):
    recipe = instantiate(compose_with().negatives)
    assert recipe == NegativesRecipe(StructuralJudge())


def test_overrides_reach_recipe_and_judge(compose_with):
    config = compose_with("negatives.max_score_c=0", "negatives.tiers=[phase0]", "judge.related_from=0.4")
    recipe = instantiate(config.negatives)
    assert (recipe.max_score_c, list(recipe.tiers), recipe.judge.related_from) == (0, ["phase0"], 0.4)


def test_none_is_no_negatives_at_all(compose_with):
    config = compose_with("negatives=none")
    assert config.negatives is None
    assert instantiate(config).negatives is None
    assert config.seed == 0


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("judge/structural", StructuralJudge),
        ("judge/openai", OpenAIJudge),
        ("judge/causal_lm", CausalLmJudge),
        ("negatives/knn", NegativesRecipe),
    ],
)
def test_configs_hold_the_defaults_of_their_target(name, target):
    config = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"), resolve=False)
    defaults = {key: parameter.default for key, parameter in inspect.signature(target).parameters.items()}
    config.pop("_target_")
    assert config.pop("judge", "${judge}") == "${judge}"
    if "min_cosim" in config:  # depends on the teacher; the default of others is the recipe's
        assert f"default:{defaults['min_cosim']:.2f}" in config["min_cosim"]
        config["min_cosim"] = defaults["min_cosim"]
    config.pop("defaults", None)  # the search, whose own configs are looked at below
    for component in ("judge", "search"):
        defaults.pop(component, None)
    given = {key for key, default in defaults.items() if default is inspect.Parameter.empty}
    assert {key for key, value in config.items() if value == "???"} == given - {"base_url"}
    assert config.keys() == defaults.keys()
    assert {key: config[key] for key in config.keys() - given} == {key: defaults[key] for key in config.keys() - given}


@pytest.mark.parametrize(
    ("option", "search"),
    [("ivf", Search()), ("hnsw", Search(beyond=SmallWorld())), ("exact", Search(exact_up_to=None))],
)
def test_search_options_are_the_defaults_of_their_classes(compose_with, option, search):
    assert instantiate(compose_with(f"negatives/search={option}").negatives).search == search
    assert {path.stem for path in (CONF / "negatives" / "search").glob("*.yaml")} == {"ivf", "hnsw", "exact"}


def test_search_is_ivf_beyond_the_exact_and_its_keys_are_reached(compose_with):
    config = compose_with("negatives.search.exact_up_to=10", "negatives.search.beyond.probes=3")
    assert instantiate(config.negatives).search == Search(10, InvertedLists(probes=3))
