"""A repository made to run commands or to write elsewhere: it is read, or refused with one clear error."""

import os
import shutil
import subprocess

import pytest
from test_git import commit, contents, git

from sigjepa.corpus.sources.git import GitRepositories
from sigjepa.corpus.stage import CorpusStage
from sigjepa.errors import SigjepaError
from sigjepa.store.store import Store

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

HOOKS = (
    "post-checkout",
    "pre-commit",
    "post-index-change",
    "fsmonitor-watchman",
    "reference-transaction",
    "pre-auto-gc",
)


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


@pytest.fixture
def trapped(tmp_path, marker):
    """A repository whose every setting that names a command makes the marker."""
    folder = tmp_path / "trapped"
    commit(folder, a="x = 1\n", b="y = 2\n")
    (folder / ".gitattributes").write_text("*.py filter=trap diff=trap merge=trap\n")
    (folder / ".gitmodules").write_text(f'[submodule "m"]\n\tpath = m\n\turl = --upload-pack=touch {marker}\n')
    commit(folder)
    commands = (
        *("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass", "core.gitProxy"),
        *("core.alternateRefsCommand", "pager.ls-tree", "pager.cat-file", "pager.rev-parse", "gpg.program"),
        *("filter.trap.clean", "filter.trap.smudge", "filter.trap.process", "diff.trap.textconv"),
        *("diff.trap.command", "diff.external", "merge.trap.driver", "uploadpack.packObjectsHook"),
        *("remote.origin.uploadpack", "remote.origin.receivepack"),
    )
    settings = dict.fromkeys(commands, f"touch {marker}; true")
    settings |= {f"alias.{name}": f"!touch {marker}" for name in ("ls-tree", "cat-file", "rev-parse")}
    settings |= {"credential.helper": f"!touch {marker}", "core.hooksPath": str(folder / ".git/hooks")}
    # what is missing is to be fetched: from a remote that is a command
    settings |= {"remote.origin.promisor": "true", "remote.origin.partialclonefilter": "blob:none"}
    settings |= {"extensions.partialClone": "origin", "core.repositoryFormatVersion": "1"}
    settings |= {"protocol.ext.allow": "always", "protocol.allow": "always"}
    settings |= {"remote.origin.url": f"ext::sh -c touch% {marker}"}
    for name, value in settings.items():
        git(folder, "config", name, value)
    for name in HOOKS:
        hook = folder / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
        hook.chmod(0o755)
    return folder


def drop(folder, name):
    """Take an object from the store, as a partial clone lacks it."""
    sha = subprocess.run(
        ["git", f"--git-dir={folder / '.git'}", "rev-parse", name], capture_output=True, text=True, check=True
    ).stdout.strip()
    (folder / ".git/objects" / sha[:2] / sha[2:]).unlink()


def test_hooks_filters_aliases_and_commands_of_a_repository_are_not_run(trapped, marker):
    source = GitRepositories([str(trapped)])
    source.fingerprint()
    assert contents(source) == {"trapped": {"a.py": b"x = 1\n", "b.py": b"y = 2\n"}}
    assert not marker.exists()


@pytest.mark.parametrize("remote", ["ext", "file", "ssh"])
@pytest.mark.parametrize("name", ["HEAD:a.py", "HEAD^{tree}", "HEAD"])
def test_what_a_repository_lacks_is_not_fetched_by_a_command_of_its_own(trapped, marker, tmp_path, name, remote):
    if remote == "file":  # by the upload-pack that its configuration names
        git(trapped, "config", "remote.origin.url", str(commit(tmp_path / "other", a="z\n") and tmp_path / "other"))
    elif remote == "ssh":
        git(trapped, "config", "remote.origin.url", "ssh://nowhere.invalid/x")
    drop(trapped, name)
    assert not marker.exists()
    with pytest.raises(SigjepaError, match=r"trapped/\.git "):
        contents(GitRepositories([str(trapped)]))
    assert not marker.exists()


def test_the_traps_work(trapped, marker):
    drop(trapped, "HEAD:a.py")
    # git refuses to fetch where GIT_ALLOW_PROTOCOL says so; this test is what a plain git does
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(
        ["git", f"--git-dir={trapped / '.git'}", "show", "HEAD:a.py"], capture_output=True, env=environment, check=False
    )
    assert marker.exists()


@pytest.mark.parametrize(
    "given",
    [
        "ext::sh -c touch% {marker}",
        "--upload-pack=touch {marker}",
        "-c core.fsmonitor=touch",
        "file:///nowhere",
        "ssh://-oProxyCommand=touch%20{marker}/x",
        "$(touch {marker})",
        "a\nb; touch {marker}",
    ],
)
def test_an_address_that_is_a_command_is_no_folder(tmp_path, marker, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SigjepaError, match="corpus.source.paths"):
        GitRepositories([given.format(marker=marker)]).fingerprint()
    assert list(tmp_path.iterdir()) == []


def raw_commit(folder, *entries):
    """A commit whose tree holds what `git add` would refuse: (mode, name, object or content)."""
    git(folder, "init", "-q")

    def store(kind, content):
        command = ["git", "hash-object", "-t", kind, "-w", "--stdin", "--literally"]
        done = subprocess.run(command, cwd=folder, input=content, capture_output=True, check=True)
        return done.stdout.decode().strip()

    tree = b"".join(
        f"{mode} {name}".encode() + b"\0" + bytes.fromhex(store("blob", content)) for mode, name, content in entries
    )
    who = b"a <a@b> 0 +0000"
    sha = store("commit", b"tree %s\nauthor %s\ncommitter %s\n\nm\n" % (store("tree", tree).encode(), who, who))
    git(folder, "update-ref", "HEAD", sha)


def code(name):
    return f"def {name}(x):\n    y = x\n    return y, '{name}'\n".encode()


def test_names_and_links_that_leave_the_folder_lead_nowhere(tmp_path):
    (tmp_path / "secret.py").write_text("def secret(x):\n    y = x\n    return y\n")
    names = ("../escaped.py", "..", "/escaped.py", ".git/config.py", "a/../../../escaped.py", "\x1b[2Jred.py")
    for copy in ("one", "two", "three"):
        files = [("100644", name, code(f"{copy}_{place}")) for place, name in enumerate(names)]
        (tmp_path / copy).mkdir()
        raw_commit(tmp_path / copy, *files, ("120000", "link.py", b"../secret.py"), ("120000", "folder", b".."))
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    source = GitRepositories([str(tmp_path / copy) for copy in ("one", "two", "three")])
    corpus = Store(tmp_path / "data").get(CorpusStage(source, near_duplicate_threshold=1.0))
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.relative_to(tmp_path).parts[0] for path in after - before} == {"data"}
    assert {path.name for path in after - before if "escaped" in path.name or path.name == "config.py"} == set()
    assert "secret" not in corpus.column("qualname")
    assert "../escaped.py" in corpus.column("path")  # a name, and no more than that
