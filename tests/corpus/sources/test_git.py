import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sigjepa.corpus.sources.git import GitRepositories
from sigjepa.errors import SigjepaError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

IDENTITY = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


def git(folder: Path, *arguments: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["git", "-c", "protocol.file.allow=always", *arguments]
    settings = IDENTITY | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, **files: str) -> str:
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    for name, content in files.items():
        file = folder / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "m")
    return git(folder, "rev-parse", "HEAD")


def contents(source: GitRepositories) -> dict[str, dict[str, bytes | None]]:
    return {
        found.name: dict(zip(found.paths, found.read(range(len(found.paths))), strict=True))
        for found in source.repositories()
    }


def test_what_is_committed_is_read_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    sha = commit(folder, a="x = 1\n", sub__b="é = 2\n", empty="")
    (folder / "a.py").write_text("x = 'not committed'\n")
    (folder / "new.py").write_text("new\n")
    source = GitRepositories([str(folder)])
    assert contents(source) == {"project": {"a.py": b"x = 1\n", "empty.py": b"", "sub/b.py": "é = 2\n".encode()}}
    assert source.fingerprint() == {"source": "git", "repositories": {"project": sha}}


def test_a_bare_repository_gives_the_same_as_its_working_tree(tmp_path: Path) -> None:
    commit(tmp_path / "project", a="x = 1\n")
    git(tmp_path, "clone", "-q", "--bare", "project", "bare/project.git")
    tree, bare = GitRepositories([str(tmp_path / "project")]), GitRepositories([str(tmp_path / "bare/project.git")])
    assert contents(bare) == contents(tree)
    assert bare.fingerprint() == tree.fingerprint()
    both = GitRepositories([str(tmp_path / "project" / ".git"), str(tmp_path / "bare/project.git")])
    assert [found.name for found in both.repositories()] == [f"{tmp_path.name}/project", "bare/project"]


def test_a_bare_repository_beside_its_working_tree_keeps_its_suffix(tmp_path: Path) -> None:
    commit(tmp_path / "project", a="x = 1\n")
    git(tmp_path, "clone", "-q", "--bare", "project", "project.git")
    both = GitRepositories([str(tmp_path / "project"), str(tmp_path / "project.git")])
    assert set(contents(both)) == {"project", "project.git"}


def test_links_and_submodules_are_skipped(tmp_path: Path) -> None:
    commit(tmp_path / "inner", a="inner\n")
    commit(tmp_path / "outer", a="outer\n")
    (tmp_path / "outer/link.py").symlink_to("a.py")
    git(tmp_path / "outer", "submodule", "--quiet", "add", str(tmp_path / "inner"), "module.py")
    commit(tmp_path / "outer")
    listed = git(tmp_path / "outer", "ls-files").split()
    assert {"link.py", "module.py"} <= set(listed)
    assert contents(GitRepositories([str(tmp_path / "outer")])) == {"outer": {"a.py": b"outer\n"}}


def test_names_with_odd_characters_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    names = ["new\nline", 'tab\tquote"', "é ü"]
    commit(folder, **dict.fromkeys(names, "x\n"))
    assert contents(GitRepositories([str(folder)])) == {"project": {f"{name}.py": b"x\n" for name in names}}


def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    commit(folder, a="x\n")
    try:
        (folder / os.fsdecode(b"\xe9.py")).write_text("y\n")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    commit(folder)
    assert contents(GitRepositories([str(folder)]))["project"]["\\xe9.py"] == b"y\n"


def test_a_folder_whose_name_is_not_utf8_is_spelt_out(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path / "r") + b"\xff"))
    sha = commit(folder, a="x = 1\n")
    source = GitRepositories([str(folder)])
    assert contents(source) == {"r\\udcff": {"a.py": b"x = 1\n"}}
    assert source.fingerprint()["repositories"] == {"r\\udcff": sha}


def test_environment_variables_of_a_hook_do_not_lead_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(tmp_path / "one", a="one\n")
    commit(tmp_path / "two", a="two\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "two/.git"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "two/.git/objects"))
    assert contents(GitRepositories([str(tmp_path / "one")])) == {"one": {"a.py": b"one\n"}}


def test_a_new_commit_changes_the_fingerprint(tmp_path: Path) -> None:
    commit(tmp_path / "one", a="x = 1\n")
    source = GitRepositories([str(tmp_path / "one")])
    before = source.fingerprint()
    commit(tmp_path / "one", a="x = 2\n")
    assert source.fingerprint() != before


@pytest.mark.parametrize("replaced", ["HEAD", "HEAD^{tree}", "HEAD:a.py"])
def test_what_a_clone_put_in_the_place_of_an_object_is_not_read(tmp_path: Path, replaced: str) -> None:
    folder = tmp_path / "one"
    commit(folder, a="other\n")
    other = git(folder, "rev-parse", replaced)
    sha = commit(folder, a="x = 1\n")
    git(folder, "replace", git(folder, "rev-parse", replaced), other)
    assert git(folder, "show", "HEAD:a.py") == "other"  # a plain git reads the replacement
    source = GitRepositories([str(folder)])
    assert source.fingerprint()["repositories"] == {"one": sha}
    assert contents(source) == {"one": {"a.py": b"x = 1\n"}}


def test_reading_can_stop_early(tmp_path: Path) -> None:
    commit(tmp_path / "one", a="x\n" * 10**5, b="y\n")
    (repository,) = GitRepositories([str(tmp_path / "one")]).repositories()
    reading = repository.read([0, 1])
    assert next(reading) == b"x\n" * 10**5
    reading.close()  # type: ignore[attr-defined]
    assert list(repository.read([])) == []


def test_a_folder_that_is_no_repository_is_named_even_inside_of_one(tmp_path: Path) -> None:
    commit(tmp_path / "project", sub__a="x\n")
    for folder in (tmp_path, tmp_path / "project/sub", tmp_path / "nowhere"):
        with pytest.raises(SigjepaError, match=rf"{folder} .*corpus\.source\.paths"):
            GitRepositories([str(folder)]).fingerprint()


@pytest.mark.parametrize("call", ["fingerprint", "repositories"])
def test_a_head_that_does_not_exist_is_named(tmp_path: Path, call: str) -> None:
    git(tmp_path / "empty", "init", "-q")
    with pytest.raises(SigjepaError, match=r"HEAD .*empty.*symbolic-ref"):
        getattr(GitRepositories([str(tmp_path / "empty")]), call)()


def test_a_missing_object_is_named(tmp_path: Path) -> None:
    commit(tmp_path / "project", a="x = 1\n")
    (repository,) = GitRepositories([str(tmp_path / "project")]).repositories()
    blob = git(tmp_path / "project", "rev-parse", "HEAD:a.py")
    (tmp_path / "project/.git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(SigjepaError, match=r"a\.py.*git fsck"):
        list(repository.read([0]))


def test_without_git_the_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SigjepaError, match="`git`"):
        GitRepositories([str(tmp_path)]).fingerprint()
