"""What a repository that is added to a source changes of the functions of the others, and what it leaves."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sigjepa.corpus.sources.folder import Folder
from sigjepa.corpus.stage import CorpusStage
from sigjepa.store.store import Store

HELD = {
    name: range(start, start + size) for name, start, size in [("b", 0, 9), ("d", 20, 5), ("f", 40, 3), ("g", 60, 3)]
}


def function(number: int) -> str:
    """One of many functions, none near another."""
    lines = "\n".join(f"    x = x['{number}_{line}']" for line in range(3))
    return f"def f{number}(x):\n{lines}\n    return x\n"


def rows(folder: Path, repositories: dict[str, range]) -> pa.Table:
    """The corpus of repositories that hold a file a function."""
    for name, numbers in repositories.items():
        (folder / "code" / name).mkdir(parents=True)
        for number in numbers:
            (folder / "code" / name / f"m{number}.py").write_text(function(number))
    return pa.concat_tables(Store(folder / "data").get(CorpusStage(Folder([str(folder / "code")]))).tables())


def without(table: pa.Table, repository: str, *left_out: str) -> list[dict[str, Any]]:
    """The rows of the other repositories, without some columns."""
    kept = [name for name in table.column_names if name not in left_out]
    return [row for row in table.select([*kept]).to_pylist() if row["repository"] != repository]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return rows(tmp_path_factory.mktemp("before"), HELD)


@pytest.mark.parametrize("name", ["a", "e"])
def test_a_repository_leaves_the_keys_of_the_others_and_moves_their_ids(
    tmp_path: Path, before: pa.Table, name: str
) -> None:
    after = rows(tmp_path, HELD | {name: range(80, 100)})
    moved = ("id", "split", "tier")
    assert without(after, name, *moved) == without(before, name, *moved)
    assert without(after, name, "split", "tier") != without(before, name, "split", "tier")
    keys = after["key"].to_pylist()
    assert len(set(keys)) == len(keys) == 40
    homes = {(row["repository"], row["split"], row["tier"]) for row in after.to_pylist()}
    assert len(homes) == 5  # whole, though maybe elsewhere than before


def test_duplicates_go_of_what_stands_later_so_the_last_repository_takes_none(tmp_path: Path, before: pa.Table) -> None:
    last = rows(tmp_path / "last", HELD | {"z": range(5, 25)})
    assert without(last, "z", "split", "tier") == without(before, "z", "split", "tier")
    assert last["repository"].to_pylist().count("z") == 20 - 4 - 5
    first = rows(tmp_path / "first", HELD | {"a": range(5, 25)})
    assert set(first["key"].to_pylist()) == set(last["key"].to_pylist())
    assert first["repository"].to_pylist().count("a") == 20
