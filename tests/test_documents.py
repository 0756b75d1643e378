"""What the documents show works: commands and overrides compose, links resolve, code parses, the site builds."""

import ast
import copy
import functools
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

import sigjepa
from sigjepa.__main__ import COMMANDS
from sigjepa.runtime.compose import compose
from sigjepa.runtime.config_description import describe_config
from sigjepa.runtime.words import quote_value
from sigjepa.search import divide

CHECKOUT = Path(__file__).resolve().parents[1]
REPORTS = CHECKOUT / "docs" / "results"  # written by a command, as it was then
MARKDOWN = [
    *CHECKOUT.glob("*.md"),
    *(path for path in (CHECKOUT / "docs").rglob("*.md") if REPORTS not in path.parents),
    *(CHECKOUT / "examples").rglob("*.md"),
    CHECKOUT / "multirun" / "README.md",
]
CONFIGS = sorted((CHECKOUT / "conf").rglob("*.yaml"))
COMMAND = re.compile(rf"(?:-m sigjepa\.|sigjepa )({'|'.join(COMMANDS)})\b(?![.(])([^\n#`|]*)")
INLINE = re.compile(r"`([^`\n]*[\w@]=[^`\n]*)`")
PLACEHOLDERS = ("group=option", "key=value", "+key=value")
WITH_A_VALUE = ("--config-dir", "--cfg")
SEARCH = ("index", "search", "serve")
COMPOSITIONS = {
    "train": [
        ("experiment=exp2_1",),
        ("negatives=pairs_file",),
        ("corpus=folder",),
        ("corpus=jsonl",),
        ("callbacks=refresh", "teacher=hf", "executor=ray"),
        ("corpus=huggingface", "executor=slurm"),
    ]
} | {name: [()] for name in ("report", "evaluate", "export", "prepare", "judge_agreement", "dashboard", *SEARCH)}


def name_of(path):
    return path.relative_to(CHECKOUT).as_posix()


def shown_commands():
    """(command, overrides, config folder) of every command; the first job of a sweep stands for the others."""
    seen = set()
    for path in [*sorted(MARKDOWN), *CONFIGS]:
        for command, rest in COMMAND.findall(path.read_text()):
            words = shlex.split(re.sub(r"<(\w+)>|…", r"\1", rest))
            folder = None
            for option in WITH_A_VALUE:
                if option in words:
                    place = words.index(option)
                    if option == "--config-dir":
                        folder = next(
                            root / words[place + 1]
                            for root in (path.parent, CHECKOUT)
                            if (root / words[place + 1]).is_dir()
                        )
                    del words[place : place + 2]
            overrides = [word for word in words if not word.startswith("-")]
            first = [word if re.search(r"[\[{]", word) else word.split(",")[0] for word in overrides]
            if (key := (command, *first, folder)) in seen:
                continue
            seen.add(key)
            yield pytest.param(command, first, folder, id=f"{name_of(path)}: {command} {' '.join(words)}")


# groups of which any option goes with any other; tests/test_conf.py composes each of them
INDEPENDENT = {"corpus", "data", "hydra/launcher", "hydra/sweeper", "logger", "optimizer", "scheduler", "trainer"}


def is_independent(override, words):
    """Whether an override chooses an option that is there and none of `words` gives it a value."""
    group, _, option = override.partition("=")
    within = [word for word in words if word != override and word.startswith(group.replace("/", "."))]
    return group in INDEPENDENT and (CHECKOUT / "conf" / group / f"{option}.yaml").is_file() and not within


def is_value(override):
    """Whether an override gives a key a value, and so does not decide which files are composed."""
    key, sign, _ = override.partition("=")
    chooses = "@" in key or key.startswith(("+", "~", "hydra.")) or key.endswith(("_target_", "allowed_targets"))
    return bool(sign) and not chooses and not (CHECKOUT / "conf" / key).is_dir()


@functools.cache
def composed(command, choices, folder):
    return compose(choices, command, config_dir=folder)


@pytest.mark.parametrize(("command", "overrides", "folder"), list(shown_commands()))
def test_a_shown_command_composes(command, overrides, folder, monkeypatch):
    if folder is not None:  # the package beside it is what the classes in it are of
        monkeypatch.syspath_prepend(folder.parent)
    if command == "provenance":  # takes a path, a word without `=`
        overrides = [f"path={Path(overrides[0]).name}" if overrides else "path=run"]
    if command == "search":  # takes a query, words without a key
        overrides, _ = divide(overrides)
    command = "train" if command == "sweep" else command
    choices = [word for word in overrides if not is_value(word) and not is_independent(word, overrides)]
    config = copy.deepcopy(composed(command, tuple(choices), folder))
    OmegaConf.set_struct(config, True)  # a key that is not there is an error
    values = [quote_value(word) for word in overrides if is_value(word)]
    for override in OverridesParser.create().parse_overrides(values):
        OmegaConf.update(config, override.key_or_group, override.value(), force_add=False)


def shown_overrides():
    for path in sorted(set(MARKDOWN) - {CHECKOUT / "CHANGELOG.md", CHECKOUT / "docs" / "field.md"}):  # what was
        for code in INLINE.findall(path.read_text()):
            words = [
                word for word in shlex.split(re.sub(r"<(\w+)>|…", r"\1", code)) if re.match(r"\+?[a-z][\w./@]*=.", word)
            ]
            if words and code not in PLACEHOLDERS and not COMMAND.search(code) and " -" not in code and "(" not in code:
                yield pytest.param(words, path.parent / "conf", id=f"{name_of(path)}: {code}")


@functools.cache
def description_of(command, base, *folders):
    return describe_config(command, base, folders)


def names_a_key(word, description):
    """Whether an override's key exists, and its option where the key is a group."""
    name, _, option = word.lstrip("+").partition("=")
    if name in description.groups:
        options = description.groups[name].options
        return option.startswith(("[", "null")) or all(one in options for one in option.split(","))
    return description.has_key(name) or name.startswith("hydra.") or word.startswith("+")


@pytest.mark.parametrize(("words", "folder"), list(shown_overrides()))
def test_a_shown_override_names_a_key_of_some_command(words, folder):
    descriptions = [description_of(command, base) for command, bases in COMPOSITIONS.items() for base in bases]
    if folder.is_dir() and folder != CHECKOUT / "conf":  # of a package beside the page
        option = next((folder / "experiment").glob("*.yaml")).stem
        descriptions.append(description_of("train", (f"experiment={option}",), folder))
    assert any(all(names_a_key(word, description) for word in words) for description in descriptions)


def links():
    for path in sorted(MARKDOWN):
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if not re.match(r"\w+:", target):
                yield pytest.param(path, target, id=f"{name_of(path)}: {target}")


@pytest.mark.parametrize(("path", "target"), list(links()))
def test_a_link_leads_to_a_file_and_a_heading(path, target):
    file, _, anchor = target.partition("#")
    document = (path.parent / file).resolve() if file else path
    assert document.exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
        assert anchor in slugs


@pytest.mark.parametrize("path", sorted(MARKDOWN), ids=name_of)
def test_code_parses_and_targets_exist(path):
    text = path.read_text()
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for name in (node.attr for node in ast.walk(ast.parse(block)) if is_public_name(node)):
            assert hasattr(sigjepa, name)
    makefile = (CHECKOUT / "Makefile").read_text()
    for indented, inline in re.findall(r"^ +make ([a-z-]+)|`make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{indented or inline}:", makefile, re.MULTILINE)


def test_contributing_names_files_that_exist():
    text = (CHECKOUT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|pyi|md|txt|yaml))`", text)
    files = [
        path.as_posix() for folder in ("sigjepa", "conf", "tests", "docs") for path in (CHECKOUT / folder).rglob("*.*")
    ]
    files += [path.as_posix() for path in CHECKOUT.glob("*.*")]
    assert len(named) > 60
    assert not [name for name in named if not any(file.endswith(f"/{name}") for file in files)]


def is_public_name(node):
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sigjepa"


def test_the_readme_is_short():
    assert len((CHECKOUT / "README.md").read_text().splitlines()) <= 150


def test_every_public_name_is_in_the_reference():
    reference = (CHECKOUT / "docs" / "reference" / "python.md").read_text()
    stub = ast.parse((CHECKOUT / "sigjepa" / "__init__.pyi").read_text())
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert f"::: {node.module}.{alias.name}\n" in reference


def test_changelog_and_citation_are_of_this_version():
    versions = re.findall(r"^## (\S+)", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == sigjepa.__version__
    assert yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())["version"] == sigjepa.__version__


class Loaded(HTMLParser):
    """Collects what a page loads by itself."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag in ("script", "img", "iframe", "source") or (tag == "link" and attributes.get("rel") != "canonical"):
            self.addresses += [attributes[key] for key in ("src", "href") if attributes.get(key)]


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "python.html", "configs.html"} <= {page.name for page in pages}
    for page in pages:
        parser = Loaded()
        parser.feed(page.read_text())
        assert not [address for address in parser.addresses if re.match(r"(\w+:)?//", address)]
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text())
    configs = next(page for page in pages if page.name == "configs.html").read_text()
    assert all(f">{path.relative_to(CHECKOUT / 'conf').with_suffix('').as_posix()}<" in configs for path in CONFIGS[:3])


def test_faults_of_the_field_are_held_by_tests_that_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (CHECKOUT / "docs" / "field.md").read_text())
    assert len(named) > 60
    missing = [(file, test) for file, test in named if f"def {test}" not in (CHECKOUT / file).read_text()]
    assert [(file, test) for file, test in missing if test] == []
