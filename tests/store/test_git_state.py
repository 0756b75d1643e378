import subprocess

from sigjepa.store.git_state import code_diff, git_state


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def checkout(folder):
    package = folder / "sigjepa"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "old.py").write_text("x = 1\n")
    (package / "gone.py").write_text("y = 1\n")
    (package / "table.bin").write_bytes(bytes(range(256)))
    (folder / ".gitignore").write_text("data/\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return package


def test_a_package_that_git_does_not_track_has_no_sha(tmp_path):
    git(tmp_path, "init", "-q")
    installed = tmp_path / "site-packages" / "sigjepa"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert git_state(installed) == {"sha": None, "dirty": None}


def test_what_a_clone_put_in_the_place_of_the_commit_is_no_state_of_the_code(tmp_path):
    package = checkout(tmp_path)
    first = git_state(package)["sha"]
    (package / "old.py").write_text("x = 2\n")
    git(tmp_path, "commit", "-q", "-am", "second")
    git(tmp_path, "replace", "HEAD", first)
    assert git_state(package)["dirty"] is False
    assert code_diff(package).content == b""


def test_a_hook_of_another_repository_has_no_say(tmp_path, monkeypatch):
    package, other = checkout(tmp_path / "own"), checkout(tmp_path / "other")
    (package / "old.py").write_text("x = 2\n")
    git(tmp_path / "own", "commit", "-q", "-am", "second")
    own, others = git_state(package), git_state(other)
    (package / "new.py").write_text("n = 1\n")
    diff = code_diff(package)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other/.git/index"))
    assert git_state(package) == {"sha": own["sha"], "dirty": True} != others
    assert code_diff(package) == diff


def test_git_state_of_a_clean_and_a_dirty_checkout(tmp_path):
    package = checkout(tmp_path)
    clean = git_state(package)
    assert len(clean["sha"]) == 40
    assert clean["dirty"] is False
    (package / "__init__.py").write_text("x = 1")
    assert git_state(package) == {"sha": clean["sha"], "dirty": True}


def test_a_new_file_that_could_decide_a_run_is_dirt(tmp_path):
    package = checkout(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (package / "scratch.txt").write_text("mine")
    assert git_state(package)["dirty"] is False
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/mine.yaml").write_text("a: 1\n")
    assert git_state(package)["dirty"] is True


def tree(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_commit_and_diff_give_the_tree_that_ran(tmp_path):
    package = checkout(tmp_path / "dirty")
    git(tmp_path, "clone", "-q", "dirty", "again")
    (package / "old.py").write_text("x = 2  # without a last newline")
    (package / "gone.py").unlink()
    (package / "table.bin").write_bytes(bytes(reversed(range(256))))
    (package / "staged.py").write_text("z = 1\n")
    git(tmp_path / "dirty", "add", "sigjepa/staged.py")
    (package / "new.py").write_text("n = 'é'\n")
    (tmp_path / "dirty/conf").mkdir()
    (tmp_path / "dirty/conf/new file.yaml").write_text("a: 1\n")
    diff = code_diff(package)
    assert diff.left_out == {}
    (tmp_path / "provenance.diff").write_bytes(diff.content)
    git(tmp_path / "again", "apply", str(tmp_path / "provenance.diff"))
    assert tree(tmp_path / "again") == tree(tmp_path / "dirty")


def test_what_is_too_large_or_holds_a_key_is_left_out_and_named(tmp_path):
    package = checkout(tmp_path)
    (package / "large.py").write_text("x = 1\n" * 1000)
    (package / "key.py").write_text(f"KEY = 'sk-{'a1' * 12}'\n")
    (package / "small.py").write_text("s = 1\n")
    diff = code_diff(package, max_bytes=2000)
    assert set(diff.left_out) == {"sigjepa/key.py", "sigjepa/large.py"}
    assert b"small.py" in diff.content
    assert b"sk-a1" not in diff.content
