"""The shipped corpus configurations name exactly the parameters that the code takes."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from sigjepa.corpus.store import CorpusRecipe

CONF = Path(__file__).parents[2] / "conf/corpus"
FILES = sorted(file for file in CONF.glob("*.yaml") if file.stem != "base")
SIZE = {"max_functions": 400, "max_functions_per_repository": 25, "packages": []}


def composed(file: Path) -> DictConfig:
    # at the root, as the group's own keys: only ${size.…} points outside
    config = OmegaConf.merge(
        {"size": SIZE}, {"corpus": OmegaConf.load(CONF / "base.yaml")}, {"corpus": OmegaConf.load(file)}
    )
    assert isinstance(config, DictConfig)
    del config.corpus["defaults"]
    return config.corpus  # type: ignore[no-any-return]


def test_all_four_sources_have_one() -> None:
    assert [file.stem for file in FILES] == ["folder", "git", "installed", "jsonl"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_keys_are_parameters_and_values_are_the_defaults(file: Path) -> None:
    config = composed(file)
    parameters = inspect.signature(CorpusRecipe).parameters
    assert set(config) == {"_target_", *parameters}
    source = get_class(config.source._target_)
    assert set(config.source) == {"_target_", *inspect.signature(source).parameters}
    plain = CorpusRecipe(source=None)  # type: ignore[arg-type]
    for name in set(parameters) - {"source", "max_functions", "max_functions_per_repository"}:
        assert config[name] == getattr(plain, name), name
    assert config.max_functions == 400
    assert config.max_functions_per_repository == 25


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_comment_on_top_gives_the_command(file: Path) -> None:
    assert f"python -m sigjepa.prepare corpus={file.stem}" in file.read_text().partition("defaults:")[0]


def test_a_composed_recipe_builds_a_corpus_of_the_standard_library(tmp_path: Path) -> None:
    config = composed(next(file for file in FILES if file.stem == "installed"))
    config.max_functions = 40
    config.max_functions_per_repository = 2
    corpus = instantiate(config).prepare(tmp_path)  # nested lists and mappings arrive as OmegaConf's own
    assert len(corpus) == 40
    assert all(repository.startswith("python/") for repository in corpus.column("repository"))
