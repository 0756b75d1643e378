import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.corpus import extraction
from sigjepa.corpus.extraction import ExtractionStage, grouped
from sigjepa.corpus.near_pairs import NearPairsStage
from sigjepa.corpus.sources.folder import Folder
from sigjepa.corpus.sources.jsonl import Rows
from sigjepa.corpus.sources.source import Repository
from sigjepa.corpus.stage import CorpusStage
from sigjepa.store.stage import Part
from sigjepa.store.store import Store


def numbered(name: str, paths: Sequence[str]) -> Repository:
    return Repository(name, paths, lambda positions: (f"{name} {position}".encode() for position in positions))


@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=12), max_size=6), st.integers(1, 5), st.booleans())
def test_groups_hold_every_file_once_in_order_and_rows_of_a_path_together(
    paths: list[list[str]], files: int, divide: bool
) -> None:
    repositories = [numbered(f"r{number}", found) for number, found in enumerate(paths)]
    groups = [*grouped(repositories[::-1], files, divide)]
    contents = [content for group in groups for each in group for content in each.read(range(len(each.paths)))]
    assert sorted(filter(None, contents)) == sorted(
        f"{each.name} {position}".encode() for each in repositories for position in range(len(each.paths))
    )
    places = [[(each.name, path) for each in group for path in each.paths] for group in groups]
    assert [*chain(*places)] == sorted(chain(*places))
    for first, second in pairwise(places):
        assert not set(first) & set(second)
        assert divide or not {name for name, _ in first} & {name for name, _ in second}
    longest = max(map(len, paths), default=0)
    assert all(len(each) < files + longest for each in places)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for repository in range(5):
        folder = tmp_path / "code" / f"r{repository}"
        folder.mkdir(parents=True)
        for file in range(4):
            functions = [
                f"def f{i}(x):\n    y = x['{repository if i else 0}{file}{i}']\n    return y, {i}\n" for i in range(3)
            ]
            (folder / f"m{file}.py").write_text("".join(functions))
        (folder / "test_it.py").write_text("x = 1\n")
    return tmp_path / "code"


@pytest.mark.parametrize("limit", [None, 5])
def test_a_corpus_is_the_same_in_any_number_of_parts(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    stage = CorpusStage(Folder([str(code)]), max_functions_per_repository=limit)
    whole = Store(tmp_path / "whole").get(stage)
    assert whole.manifest.facts["skipped"]["exact_duplicate"] == (16 if limit is None else 12)
    monkeypatch.setattr(extraction, "FILES_PER_PART", 3)
    divided = Store(tmp_path / "parts").get(stage)
    assert divided.manifest.facts == whole.manifest.facts
    assert divided.manifest.reference == whole.manifest.reference  # byte for byte
    assert not list(tmp_path.rglob(".steps"))


def test_a_step_that_was_finished_is_kept_by_a_failure_of_the_next(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, store = CorpusStage(Folder([str(code)])), Store(tmp_path / "data")
    with monkeypatch.context() as patch:
        patch.setattr(NearPairsStage, "build", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.get(stage)
    with monkeypatch.context() as patch:
        patch.setattr(ExtractionStage, "build", lambda *arguments: 1 / 0)
        assert len(store.get(stage)) == 44


class PinnedFolder(Folder):
    """Folders that are said not to change."""

    def repositories(self) -> list[Repository]:
        return [replace(found, pinned=True) for found in super().repositories()]


@pytest.mark.parametrize(("source", "kept"), [(Folder, False), (PinnedFolder, True)])
def test_what_a_killed_process_read_of_a_file_that_was_changed_and_changed_back_is_read_again(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: type[Folder], kept: bool
) -> None:
    monkeypatch.setattr(extraction, "FILES_PER_PART", 3)
    stage, store = CorpusStage(source([str(code)])), Store(tmp_path / "data")
    file, build, built = code / "r0/m0.py", ExtractionStage.build, list[str]()
    whole = file.read_text()

    def build_once(self: ExtractionStage, part: Part, out: Path) -> Mapping[str, Any]:
        file.write_text(whole.replace("return y", "return x"))
        if built:
            raise KeyboardInterrupt
        built.append(part.name)
        return build(self, part, out)

    with monkeypatch.context() as patch:
        patch.setattr(ExtractionStage, "build", build_once)
        with pytest.raises(KeyboardInterrupt):
            store.get(stage)
    file.write_text(whole)
    assert any("return x" in body for body in store.get(stage).column("body")) is kept


def test_rows_of_a_file_go_to_another_process_as_its_path(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("a\nb\n")
    assert [*pickle.loads(pickle.dumps(Rows(file))).read([0, 2], [1])] == [b"b\n"]
