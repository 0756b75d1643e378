"""The shipped corpus configurations name exactly the parameters that the code takes."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from sigjepa.corpus.sources.jsonl import JsonLines
from sigjepa.corpus.stage import CorpusStage
from sigjepa.store.store import Store

CONF = Path(__file__).parents[2] / "conf/corpus"
FILES = sorted(file for file in CONF.glob("*.yaml") if file.stem != "base")
SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}
SIZE = {
    "max_functions": 400,
    "max_functions_per_repository": 25,
    "tier_sizes": {"phase0": 200, "heads": 100},
    "split_shares": SHARES,
    "packages": [],
}


def composed(file: Path) -> DictConfig:
    # at the root, as the group's own keys: only ${size.…} and ${paths.…} point outside
    config = OmegaConf.merge(
        {"size": SIZE, "paths": {"data_dir": "data"}},
        {"corpus": OmegaConf.load(CONF / "base.yaml")},
        {"corpus": OmegaConf.load(file)},
    )
    assert isinstance(config, DictConfig)
    del config.corpus["defaults"]
    return config.corpus  # type: ignore[no-any-return]


def test_every_source_has_one() -> None:
    assert [file.stem for file in FILES] == ["folder", "git", "huggingface", "installed", "jsonl", "pypi"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_keys_are_parameters_and_values_are_the_defaults(file: Path) -> None:
    config = composed(file)
    parameters = inspect.signature(CorpusStage).parameters
    assert set(config) == {"_target_", *parameters}
    source = get_class(config.source._target_)
    assert set(config.source) == {"_target_", *inspect.signature(source).parameters}
    plain = CorpusStage(source=None)  # type: ignore[arg-type]
    sized = {"max_functions", "max_functions_per_repository"} | ({"tier_sizes"} if file.stem == "pypi" else set())
    for name in set(parameters) - {"source"} - sized:
        assert config[name] == getattr(plain, name), name
    assert config.tier_sizes == (SIZE["tier_sizes"] if file.stem == "pypi" else None)
    assert config.max_functions == 400
    assert config.max_functions_per_repository == 25


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_comment_on_top_gives_the_command(file: Path) -> None:
    assert f"python -m sigjepa.prepare corpus={file.stem}" in file.read_text().partition("defaults:")[0]


@pytest.mark.parametrize("size", ["tiny", "quick", "full"])
def test_every_size_gives_what_a_corpus_asks_for(size: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    given = OmegaConf.load(CONF.parent / "data" / f"{size}.yaml").size
    recipe = CorpusStage(
        JsonLines(str(tmp_path / "rows.jsonl")),
        max_functions=given.max_functions,
        split_shares=given.split_shares,
        tier_sizes=given.tier_sizes,
    )
    assert recipe.inputs()["split_shares"] == (
        SHARES if size != "full" else {"train": 0.827, "val": 0.115, "test": 0.058}
    )
    assert recipe.inputs().get("tier_sizes") == (None if size != "full" else {"phase0": 28_400, "heads": 22_435})


def test_a_composed_recipe_builds_a_corpus(tmp_path: Path, small_corpus: list[str]) -> None:
    config = composed(next(file for file in FILES if file.stem == "folder"))
    config.merge_with_dotlist([word.removeprefix("corpus.") for word in small_corpus if word.startswith("corpus.")])
    config.max_functions_per_repository = 5
    corpus = Store(tmp_path).get(instantiate(config))  # nested lists and mappings arrive as OmegaConf's own
    assert len(corpus) == 15
