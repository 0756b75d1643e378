import json
import os
from pathlib import Path

import pytest

from sigjepa.corpus.sources.folder import Folder, files_repository
from sigjepa.corpus.stage import CorpusStage
from sigjepa.errors import SigjepaError
from sigjepa.serving.functions import FunctionsStage, Places
from sigjepa.store.store import Store


def write(root: Path, *paths: str) -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {path}\n")


def listing(source: Folder) -> dict[str, list[str]]:
    return {found.name: list(found.paths) for found in source.repositories()}


def test_each_of_several_paths_is_a_repository(tmp_path: Path) -> None:
    write(tmp_path, "one/a.py", "one/sub/b.py", "one/c.txt", "two/a.py")
    source = Folder([str(tmp_path / "one"), str(tmp_path / "two")])
    assert listing(source) == {"one": ["a.py", "sub/b.py"], "two": ["a.py"]}
    assert list(source.repositories()[0].read([1, 0])) == [b"# one/sub/b.py\n", b"# one/a.py\n"]


def test_each_sub_folder_of_one_path_is_a_repository(tmp_path: Path) -> None:
    write(tmp_path, "setup.py", "one/a.py", "two/sub/a.py", "three/readme.txt")
    source = Folder([str(tmp_path)])
    assert listing(source) == {f"{tmp_path.name}/": ["setup.py"], "one": ["a.py"], "two": ["sub/a.py"]}
    contents = [content for found in source.repositories() for content in found.read([0])]
    assert contents == [b"# setup.py\n", b"# one/a.py\n", b"# two/sub/a.py\n"]


def test_a_sub_folder_of_tests_is_left_out_with_its_helpers(tmp_path: Path) -> None:
    code = "def f(x):\n    y = x['{0}']\n    return y, '{0}'\n"
    for path in ("repo/src/m.py", "repo/Tests/unit/helpers.py", "repo/test/helpers.py", "tests/one/m.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(code.format(path))
    stages = {tests: FunctionsStage(Folder([str(tmp_path / "repo")]), include_tests=tests) for tests in (False, True)}
    found = {tests: Store(tmp_path / "data").get(stage) for tests, stage in stages.items()}
    assert [found[False][row].path for row in range(len(found[False]))] == ["m.py"]
    assert found[False].manifest.facts["skipped"] == {"test_file": 2}
    places = Places.of(Folder([str(tmp_path / "repo")]))
    (row,) = places.rows_of(found[True], tmp_path / "repo/test/helpers.py")
    assert (found[True][row].repository, found[True][row].path) == ("test", "test/helpers.py")
    assert listing(Folder([str(tmp_path / "tests")])) == {"one": ["m.py"]}


def test_a_folder_whose_name_is_not_utf8_is_spelt_out(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path / "code") + b"\xff"))
    for name in ("a", "b", os.fsdecode(b"\xe9")):
        (root / name).mkdir(parents=True)
        (root / name / "m.py").write_text(f"def f(x):\n    y = x[{name!a}]\n    return y\n")
    source = Folder([str(root)])
    corpus = Store(tmp_path / "data").get(CorpusStage(source, near_duplicate_threshold=1.0))
    assert set(corpus.column("repository")) == {"a", "b", "\\udce9"}
    assert set(listing(Folder([str(root), str(root / "a")]))) == {"code\\udcff", "a"}
    json.dumps(Places.of(source).places, ensure_ascii=False).encode()


def test_folders_of_one_name_are_told_apart_by_their_parents(tmp_path: Path) -> None:
    write(tmp_path, "x/a/src/m.py", "y/a/src/m.py", "z/m.py")
    source = Folder([str(tmp_path / path) for path in ("x/a/src", "y/a/src", "z")])
    assert set(listing(source)) == {"x/a/src", "y/a/src", "z"}


def test_what_is_not_source_of_the_project_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a/m.py", "a/.git/m.py", "a/__pycache__/m.py", "a/node_modules/m.py", "a/venv/lib/m.py", "b/m.py")
    (tmp_path / "a/venv/pyvenv.cfg").touch()
    (tmp_path / "a/link.py").symlink_to(tmp_path / "a/m.py")
    (tmp_path / "a/folder.py").mkdir()
    assert listing(Folder([str(tmp_path)])) == {"a": ["m.py"], "b": ["m.py"]}


def test_the_fingerprint_is_of_content_and_not_of_the_place(tmp_path: Path) -> None:
    for place in ("here", "there"):
        write(tmp_path / place, "a/m.py", "b/m.py")
    here, there = (Folder([str(tmp_path / place)]) for place in ("here", "there"))
    before = here.fingerprint()
    assert before == there.fingerprint()
    (tmp_path / "here/a/m.py").write_text("# a/n.py\n")  # as long as before
    assert here.fingerprint() != before
    (tmp_path / "there/b/m.py").rename(tmp_path / "there/b/n.py")
    assert there.fingerprint() != before


def test_a_file_deleted_after_the_listing_reads_as_none(tmp_path: Path) -> None:
    assert list(files_repository("r", tmp_path, ["gone.py"]).read([0])) == [None]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SigjepaError, match=r"nowhere .*corpus\.source\.paths"):
        Folder([str(tmp_path / "nowhere"), str(tmp_path)]).repositories()


def test_a_folder_given_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(SigjepaError, match="twice"):
        Folder([str(tmp_path), f"{tmp_path}/."]).repositories()


@pytest.mark.parametrize("paths", ["somewhere", []])
def test_paths_that_are_no_list_are_an_error(paths: str | list[str]) -> None:
    with pytest.raises(SigjepaError, match="paths="):
        Folder(paths).repositories()


def test_an_address_is_refused_with_the_source_that_takes_one() -> None:
    with pytest.raises(SigjepaError, match=r"corpus\.source\.paths=s3://bucket/code .*corpus=jsonl"):
        Folder(["here", "s3://bucket/code"]).fingerprint()
