import subprocess

from sigjepa.training.provenance import git_state, package_versions, provenance


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_git_state_of_a_clean_and_a_dirty_checkout(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    clean = git_state(package)
    assert len(clean["sha"]) == 40
    assert clean["dirty"] is False
    (package / "__init__.py").write_text("x = 1")
    assert git_state(package) == {"sha": clean["sha"], "dirty": True}


def test_a_package_that_git_does_not_track_has_no_sha(tmp_path):
    git(tmp_path, "init", "-q")
    installed = tmp_path / "site-packages" / "sigjepa"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert git_state(installed) == {"sha": None, "dirty": None}


def test_provenance_names_versions_artifacts_and_config(tmp_path):
    record = provenance({"a": 1}, 5, {"corpus": "installed-1"}, tmp_path / "data", {"Judge": "structural"})
    assert record["seed"] == 5
    assert record["artifacts"] == {"corpus": "installed-1"}
    assert record["config"] == {"a": 1}
    assert record["data_dir"] == str(tmp_path.resolve() / "data")
    assert record["hard_negatives"] == {"Judge": "structural"}
    assert record["config_hash"] == provenance({"a": 1}, 6, {}, tmp_path)["config_hash"]
    assert record["config_hash"] != provenance({"a": 2}, 5, {}, tmp_path)["config_hash"]
    assert record["versions"]["torch"]
    assert set(package_versions()) == set(record["versions"])
