"""Commands as a person types them: mistakes in one line, and what is answered without anything heavy."""

import json
import logging
import subprocess
import sys

import pytest
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

import sigjepa
from sigjepa.__main__ import COMMANDS
from sigjepa.errors import SigjepaError, StorageError
from sigjepa.runtime.command import job_label, message_of, mistakes_in_one_line, show_defect
from sigjepa.runtime.foreign_lines import without_foreign_lines

HEAVY = {"torch", "lightning", "transformers", "wandb", "faiss", "matplotlib", "numpy", "pyarrow", "scipy"}
OF_A_RUN = ("train", "prepare", "evaluate", "export", "sweep", "judge_agreement")
ANSWER = """
import contextlib, importlib, io, json, sys
command, *cases = sys.argv[1:]
answers = []
for case in json.loads(cases[0]):
    sys.argv = [command, *case]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            importlib.import_module(f"sigjepa.{command}").main()
        answers.append([0, printed.getvalue()])
    except SystemExit as end:
        answers.append([end.code, printed.getvalue()])
print(json.dumps({"answers": answers, "modules": [name for name in sys.modules if "." not in name]}))
"""


def answers(command, *cases, cwd):
    """Exit code (a message counts as 1) or 0, and what is printed, of the command with each of `cases`."""
    words = [sys.executable, "-c", ANSWER, command, json.dumps(cases)]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert not HEAVY & set(told["modules"])
    return told["answers"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_version_and_mistakes_are_answered_without_anything_heavy(command, tmp_path):
    of_a_run = command in OF_A_RUN
    key, name = {
        **{"report": ("outputt", "output"), "dashboard": ("entitty", "entity")},
        **{"provenance": ("data_dirr", "data_dir"), "index": ("outputt", "output")},
        **{"search": ("top_kk", "top_k"), "serve": ("portt", "port")},
    }.get(command, ("trainer.max_epoch", "trainer.max_epochs"))
    cases = [["--help"], ["--version"], ["--hlep"], [f"{key}=3"]]
    cases += [["experiment=exp1_5"], ["negatves=knn"], ["loss=[infonse]"]] if of_a_run else []
    told = answers(command, *cases, cwd=tmp_path)
    (code, text), (_, version), (option, _), (misspelled, _), *groups = told
    assert code == 0
    assert text.startswith(f"sigjepa {command}: ")
    assert all(len(line) <= 100 for line in text.splitlines() if "=" not in line)  # what can be typed is not broken
    assert version == f"sigjepa {sigjepa.__version__}\n"
    for message in (option, misspelled, *(group for group, _ in groups)):
        assert message.startswith("sigjepa: ")
        assert "\n" not in message
    assert "'--help'" in option
    assert f"'{name}'" in misspelled
    if of_a_run:
        assert "'exp1_4'" in groups[0][0]
        assert "'negatives'" in groups[1][0]
        assert "'infonce'" in groups[2][0]
    assert not list(tmp_path.iterdir())


def test_a_mistake_ends_a_real_command_with_one_line(tmp_path):
    command = [sys.executable, "-m", "sigjepa.train", "experiment=exp1_5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("sigjepa: There is no 'experiment/exp1_5'. Did you mean 'exp1_4'?")


def test_options_swept_are_looked_at_before_the_first_job(tmp_path):
    ((message, _),) = answers("train", ["-m", "experiment=exp1_4,exp1_5"], cwd=tmp_path)
    assert "'experiment/exp1_5'" in message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SigjepaError("a key"), "a key"),
        (StorageError(28, "No space left"), "No space left"),
        (OSError(28, "No space left on device", "file"), "file can't be read or written"),
        (OSError("Input/output error (os error 5)"), "mount its file system again"),  # as safetensors says it
        (MissingConfigException("no", "experiment/exp1_5", ["exp1_4"]), "Did you mean 'exp1_4'?"),
        (FileNotFoundError(2, "No such file"), None),
        (ValueError("a defect"), None),
    ],
)
def test_each_type_of_error_has_its_line_and_a_defect_none(error, message):
    told = message_of(error, "train", [])
    assert told is None if message is None else message in told


def test_neither_a_defect_nor_a_mistake_nor_a_log_repeats_a_key(monkeypatch, capsys, caplog):
    monkeypatch.setenv("PGPASSWORD", "plain-words-4711")
    try:
        {"a": 1}["plain-words-4711"]
    except KeyError as error:
        show_defect(KeyError, error, error.__traceback__)
    with pytest.raises(SystemExit) as ended, mistakes_in_one_line("train"):
        raise SigjepaError("the server said plain-words-4711")
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "KeyError: '<credential>'" in said
    assert ended.value.code == "sigjepa: the server said <credential>"
    logging.getLogger().addHandler(caplog.handler)
    with without_foreign_lines():
        logging.getLogger("any").warning("it said %s", "plain-words-4711")
    assert caplog.messages == ["it said <credential>"]


def test_jobs_side_by_side_are_told_apart_in_few_letters():
    assert job_label(3, OmegaConf.create({"name": "exp1_4", "seed": 2, "fold": None})) == "#3 exp1_4 seed 2"
    assert job_label(0, OmegaConf.create({"name": "exp1_4", "seed": 2, "fold": 0})) == "#0 exp1_4 fold 0 seed 2"
    assert len(job_label(3, OmegaConf.create({"name": "a long name " * 9, "seed": 2}))) < 60
    assert job_label(0, OmegaConf.create({})) == "#0"


def test_what_hydra_cannot_read_without_assertions_is_one_line(tmp_path):
    command = [sys.executable, "-O", "-m", "sigjepa.sweep", "seed=range(3)"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "seed=range(3)" in done.stderr
    assert "PYTHONOPTIMIZE" in done.stderr
    assert "Traceback" not in done.stderr
