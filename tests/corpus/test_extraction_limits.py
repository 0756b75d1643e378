"""No more of a repository is read than the corpus can use, and the same in any number of parts and levels."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sigjepa.corpus import extraction
from sigjepa.corpus.extraction import Extraction, ExtractionStage, extract
from sigjepa.corpus.source_files import read_sources
from sigjepa.corpus.sources.folder import Folder
from sigjepa.corpus.sources.source import Repository
from sigjepa.corpus.stage import CorpusStage
from sigjepa.store.store import Store


def memory_repository(name: str, files: dict[str, bytes | None], reads: list[str] | None = None) -> Repository:
    """A repository of `files`; what is read is added to `reads`."""
    paths, seen = list(files), [] if reads is None else reads

    def read(positions: Sequence[int]) -> Iterator[bytes | None]:
        for position in positions:
            seen.append(f"{name}/{paths[position]}")
            yield files[paths[position]]

    return Repository(name, paths, read)


def source(functions: int, label: str) -> bytes:
    return "".join(f"def f{i}(x):\n    y = '{label}{i}'\n    return y\n" for i in range(functions)).encode()


def repository(name: str, files: int, functions: int = 1, reads: list[str] | None = None) -> Repository:
    return memory_repository(name, {f"m{i}.py": source(functions, f"{name}{i}:") for i in range(files)}, reads)


def given(found: Extraction) -> Counter[str]:
    return Counter(name for _, table in found.tables() for name in table["repository"].to_pylist())


@pytest.fixture
def extracted(tmp_path: Path) -> Callable[..., Extraction]:
    """Extract from repositories, each time anew."""
    folders = (tmp_path / str(number) for number in range(100))

    def run(*repositories: Repository, total: int | None = None, each: int | None = None, **named: Any) -> Extraction:
        limits = {"max_functions": total, "max_functions_per_repository": each}
        arguments = {"include_tests": False, "get": Store(next(folders)).get} | limits | named
        return extract(repositories, {}, **arguments)

    return run


def test_without_limits_everything_is_read(extracted: Callable[..., Extraction]) -> None:
    found = extracted(repository("a", 7, 2), repository("b", 3))
    assert given(found) == {"a": 14, "b": 3}
    facts = found.manifest.facts
    assert facts["files_listed"] == facts["files_read"] == 10


def test_with_a_limit_a_repository_is_not_read_to_the_end(extracted: Callable[..., Extraction]) -> None:
    reads: list[str] = []
    found = extracted(repository("large", 400, reads=reads), repository("small", 3), each=10)
    assert 13 <= given(found)["large"] < 50
    assert given(found)["small"] == 3
    assert len(reads) == given(found)["large"]
    assert reads != sorted(reads)  # drawn at random, not from the top
    assert found.manifest.facts["files_listed"] == 403
    another = extracted(repository("large", 400), each=10, seed=1)
    assert another.table("000000")["path"] != found.table("000000")["path"]


def test_one_large_repository_makes_up_for_small_ones_and_no_file_is_read_again(
    extracted: Callable[..., Extraction],
) -> None:
    reads: list[str] = []
    small = (repository(f"s{i}", 1, reads=reads) for i in range(20))
    found = extracted(repository("large", 800, reads=reads), *small, total=200)
    assert 200 <= len(found) < 800
    assert len(reads) == len(set(reads)) == len(found)
    assert len([*found.folder.parent.glob("*/manifest.json")]) > 2  # levels


@pytest.mark.parametrize("levels", [(3.0, 6.0, 48.0), (47.5, 48.0)])
def test_what_is_read_depends_on_the_last_level_alone(tmp_path: Path, levels: Sequence[float]) -> None:
    files = {f"m{i}.py": None if i in (1, 7, 8) else source(i % 4, f"f{i}") for i in range(90)}
    twins = Repository("twins", ["a.py"] * 60, lambda positions: (source(1, str(i % 9)) for i in positions))
    groups = [[memory_repository("a", files), repository("b", 20)], [repository("c", 60), twins]]

    def at(level: float, folder: str, before: Extraction | None = None) -> Extraction:
        return Store(tmp_path / folder).get(ExtractionStage(groups, {}, False, 0, level, before))

    found = None
    for level in levels:
        found = at(level, "levels", found)
    direct = at(levels[-1], "direct")
    assert found is not None
    assert found.manifest.facts == direct.manifest.facts
    assert found.manifest.facts["skipped"] == {"unreadable_file": 3}
    for part in direct.parts:
        assert found.table(part) == direct.table(part)
        assert read_sources(found.sources(part)) == read_sources(direct.sources(part))
        assert [*found.taken(part)] == [*direct.taken(part)]


def test_tests_and_unreadable_files_are_counted(extracted: Callable[..., Extraction]) -> None:
    files = {"a.py": source(1, "a"), "tests/b.py": source(1, "b"), "gone.py": None}
    found = extracted(memory_repository("r", files))
    assert found.manifest.facts["skipped"] == {"test_file": 1, "unreadable_file": 1}
    assert found.table("000000")["path"].to_pylist() == ["a.py"]
    with_tests = extracted(memory_repository("r", files), include_tests=True)
    assert with_tests.manifest.facts["skipped"] == {"unreadable_file": 1}
    assert with_tests.table("000000")["path"].to_pylist() == ["a.py", "tests/b.py"]


def test_a_name_that_is_no_text_is_made_one(extracted: Callable[..., Extraction]) -> None:
    found = extracted(memory_repository("r", {"\udce9.py": source(1, "a")}))
    assert found.table("000000")["path"].to_pylist() == ["\\udce9.py"]


def test_functions_are_in_order_of_place(extracted: Callable[..., Extraction]) -> None:
    names = ["Z.py", "a.py", "ä.py", "\U0001f600.py", "\uffee.py", "a_b.py", "a/b.py"]
    found = extracted(memory_repository("r", {name: source(12, name) for name in names}))
    rows = found.table("000000").select(["repository", "path", "line", "qualname", "key"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == sorted(tuple(row.values()) for row in rows)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Repositories of 1 to 90 files, some of which do not parse or repeat others."""
    root = tmp_path_factory.mktemp("code")
    for number, files in enumerate([1, 1, 2, 3, 5, 8, 13, 21, 34, 60, 90]):
        (root / f"r{number:02}" / "tests").mkdir(parents=True)
        (root / f"r{number:02}" / "tests" / "test_it.py").write_text("x = 1\n")
        for file in range(files):
            words = [f"{number}x{file}" if (file + i) % 9 else f"{file}" for i in range(1 + file % 3)]
            texts = [f"def f{i}(x):\n    y = '{word}_{i}'\n    return y, {i}\n" for i, word in enumerate(words)]
            text = "".join(texts) if file % 11 else "def f(:\n"
            (root / f"r{number:02}" / f"m{file}.py").write_text(text)
    return Folder([str(root)])


@pytest.mark.parametrize(
    ("total", "each", "extracted", "files", "digest"),
    [
        (None, 7, 94, 54, "9977b9cbee763fc500fba12eaeab473b"),
        (60, 10, 121, 69, "cf4759fd3adba3bb2796078a52aa7b48"),
        (200, 40, 256, 147, "ec10f261bdb509a433c04ee6544812bc"),
        (400, 60, 365, 211, "e9ad40f0d4bf93d6ebe8ea39c7fa00c7"),
        (5000, None, 418, 238, "0e5eacc09e5b92c1aeca9bc24bdc0c7a"),
    ],
)
def test_a_corpus_within_limits_is_the_one_that_was_read_all_at_once(
    code: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int, each: int, extracted: int, files: int,
    digest: str,
) -> None:  # fmt: skip
    """What an earlier version wrote, which read all repositories in turn, in one process."""
    monkeypatch.setattr(extraction, "FILES_PER_PART", 20)
    corpus = Store(tmp_path).get(CorpusStage(code, max_functions=total, max_functions_per_repository=each))
    counts = corpus.manifest.facts["counts"]
    assert (counts["functions_extracted"], counts["files_read"]) == (extracted, files)
    assert corpus.hash == f"xxh3_128:{digest}"


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Six repositories, each of 40 functions in four copies."""
    root = tmp_path_factory.mktemp("copies")
    for name in "abcdef":
        (root / name).mkdir()
        for file in range(160):
            (root / name / f"m{file}.py").write_bytes(source(1, f"{name}{file // 4}:"))
    return Folder([str(root)])


@pytest.mark.parametrize("tier_sizes", [None, {"phase0": 108, "heads": 108}])
def test_what_is_short_without_its_duplicates_is_read_on(
    copies: Folder, tmp_path: Path, tier_sizes: dict[str, int] | None
) -> None:
    stage = CorpusStage(copies, max_functions=216, tier_sizes=tier_sizes)
    corpus = Store(tmp_path).get(stage)
    assert len(corpus) == 216
    assert corpus.manifest.facts["counts"]["files_read"] < 960


def test_what_is_short_of_each_repository_is_read_on(copies: Folder, tmp_path: Path) -> None:
    stage = CorpusStage(copies, max_functions=300, max_functions_per_repository=36)
    assert len(Store(tmp_path).get(stage)) == 216


def test_files_that_could_not_fill_a_corpus_are_not_read(tmp_path: Path) -> None:
    for name, files in (("a", 200), ("b", 3), ("c", 3)):
        (tmp_path / "code" / name).mkdir(parents=True)
        for file in range(files):
            (tmp_path / "code" / name / f"m{file}.py").write_bytes(source(1, f"{name}{file}:"))
    stage = CorpusStage(Folder([str(tmp_path / "code")]), max_functions=100, max_functions_per_repository=10)
    corpus = Store(tmp_path / "data").get(stage)
    assert len(corpus) == 16
    assert corpus.manifest.facts["counts"]["files_read"] == 15 + 6


def test_rows_of_one_place_stay_in_the_order_in_which_they_were_read() -> None:
    rows = [dict.fromkeys(extraction.FIELDS.names, "x") | {"line": 1, "docstring": f"{i}"} for i in range(50)]
    table = pa.concat_tables([pa.Table.from_pylist([row], extraction.FIELDS) for row in rows])
    assert table.sort_by(extraction.PLACE)["docstring"].to_pylist() == [row["docstring"] for row in rows]
