"""Every command that the README, CONTRIBUTING and the configs' comments show composes as it stands."""

import re
import shlex
from pathlib import Path

import hydra
import pytest

from sigjepa.runtime.command import config_directory

CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENTS = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted(config_directory().rglob("*.yaml"))]
COMMAND = re.compile(r"python -m sigjepa\.(\w+)([^\n#`|]*)")


def shown_commands():
    """(document, entry point, overrides) of every command; the first job of a sweep stands for the others."""
    for path in DOCUMENTS:
        for entry_point, rest in COMMAND.findall(path.read_text()):
            words = shlex.split(re.sub(r"<(\w+)>", r"\1", rest))
            overrides = [word for word in words if not word.startswith("-")]
            first = [word if "[" in word else word.split(",")[0] for word in overrides]
            yield pytest.param(entry_point, first, id=f"{path.name}: {entry_point} {' '.join(words)}")


@pytest.mark.parametrize(("entry_point", "overrides"), list(shown_commands()))
def test_a_shown_command_composes(entry_point, overrides):
    if entry_point == "provenance":  # takes a path, no config
        return
    if entry_point == "sweep":
        entry_point = "train"
    if entry_point == "train" and not overrides:
        overrides = ["experiment=exp1_4"]
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        assert hydra.compose(entry_point, overrides)


def test_the_readme_names_only_targets_that_the_makefile_has():
    makefile = (CHECKOUT / "Makefile").read_text()
    for document in DOCUMENTS[:2]:
        for target in re.findall(r"^ +make ([a-z-]+)|`make ([a-z-]+)", document.read_text(), re.MULTILINE):
            assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE)


def test_the_readme_quotes_the_committed_report():
    """Sentences, the result table and the differences stand in the report as they do in the README."""
    readme = (CHECKOUT / "README.md").read_text()
    report = (CHECKOUT / "docs" / "results" / "remedies" / "report.md").read_text()
    quotes = re.findall(r"^> (.+)$", readme, re.MULTILINE)
    assert len(quotes) == 3 + 5  # the main conclusions, and one on each diagnosis and on all of them together
    for quote in quotes:
        assert f"- {quote}\n" in report
    results = re.findall(r"^\| .*± .*$|^\| (?:BM25|teacher zero|random|mean body).*$", readme, re.MULTILINE)
    assert len(results) == 7 + 7
    differences = re.findall(r"^\| \w+ +\| exp1_4 +\| Rank@10 .*$", readme, re.MULTILINE)
    assert len(differences) == 6
    for row in [*results, *differences]:
        assert row in report
