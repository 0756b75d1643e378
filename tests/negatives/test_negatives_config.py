"""The shipped configs of this room, composed with Hydra under a root config of the test's own."""

import inspect
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sigjepa.negatives.exchange.imported_index import ImportedIndex
from sigjepa.negatives.exchange.imported_pairs import ImportedPairs
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.negatives.judging.judges.causal_lm import CausalLmJudge
from sigjepa.negatives.judging.judges.openai_judge import OpenAIJudge
from sigjepa.negatives.judging.judges.structural import StructuralJudge
from sigjepa.negatives.mining.approximate import HNSW, IVF
from sigjepa.negatives.mining.search import Search
from sigjepa.negatives.sources import MinedNegatives
from sigjepa.runtime.instantiate import instantiate

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def compose_with(tmp_path):
    """Compose a root config with mined negatives and a teacher that says nothing of cosines."""
    (tmp_path / "root.yaml").write_text("defaults:\n  - negatives: knn\n  - _self_\nseed: 0\nteacher: {name: any}\n")

    def composed(*overrides):
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            return compose("root", overrides=[f"hydra.searchpath=[file://{CONF}]", *overrides])

    return composed


def test_defaults_are_those_of_the_classes(compose_with):
    assert instantiate(compose_with().negatives) == MinedNegatives(StructuralJudge())


def test_overrides_reach_every_part(compose_with):
    words = ("filter.max_score_c=0", "tiers=[phase0]", "judge.related_from=0.4", "sampler.number=3", "top_k=4")
    source = instantiate(compose_with(*(f"negatives.{word}" for word in words)).negatives)
    assert source == MinedNegatives(
        StructuralJudge(related_from=0.4), PairFilter(0.8, max_score_c=0), NegativeSampler(3), 4, ["phase0"]
    )


def test_none_is_no_negatives_at_all(compose_with):
    config = compose_with("negatives=none")
    assert config.negatives is None
    assert config.seed == 0


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("judge/structural", StructuralJudge),
        ("judge/openai", OpenAIJudge),
        ("judge/causal_lm", CausalLmJudge),
        ("filter/base", PairFilter),
        ("sampler/base", NegativeSampler),
        ("knn", MinedNegatives),
        ("pairs_file", ImportedPairs),
        ("index_file", ImportedIndex),
    ],
)
def test_configs_hold_the_defaults_of_their_target(name, target):
    config = OmegaConf.to_container(OmegaConf.load(CONF / "negatives" / f"{name}.yaml"), resolve=False)
    defaults = {key: parameter.default for key, parameter in inspect.signature(target).parameters.items()}
    config.pop("_target_")
    groups = [next(iter(entry)) for entry in config.pop("defaults", []) if entry != "_self_"]
    interpolated = {"filter/base": ["min_cosim"], "sampler/base": ["seed"]}.get(name, [])
    for group in [*groups, *interpolated]:
        config.pop(group, None)
        defaults.pop(group)
    given = {key for key, default in defaults.items() if default is inspect.Parameter.empty}
    assert {key for key, value in config.items() if value == "???"} == given - {"base_url"}
    assert config.keys() == defaults.keys()
    assert {key: config[key] for key in config.keys() - given} == {key: defaults[key] for key in config.keys() - given}


@pytest.mark.parametrize(
    ("option", "search"),
    [("ivf", Search()), ("hnsw", Search(beyond=HNSW())), ("exact", Search(exact_up_to=None))],
)
def test_search_options_are_the_defaults_of_their_classes(compose_with, option, search):
    assert instantiate(compose_with(f"negatives/search={option}").negatives).search == search
    assert {path.stem for path in (CONF / "negatives" / "search").glob("*.yaml")} == {"ivf", "hnsw", "exact"}


def test_search_is_ivf_beyond_the_exact_and_its_keys_are_reached(compose_with):
    config = compose_with("negatives.search.exact_up_to=10", "negatives.search.beyond.nprobe=3")
    assert instantiate(config.negatives).search == Search(10, IVF(nprobe=3))
