"""`import sigjepa` is cheap and gives what its stub names; the console script runs the commands."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import sigjepa
from sigjepa.__main__ import COMMANDS

PACKAGE = Path(sigjepa.__file__).parent


def python(*arguments, cwd=None):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, check=False)
    return done.returncode, done.stdout, done.stderr


def public_names():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    return [alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]


def test_the_import_and_the_list_of_names_load_no_heavy_library():
    code = (
        "import sigjepa, sys; dir(sigjepa); sys.exit(bool({'torch', 'lightning', 'numpy', 'hydra'} & set(sys.modules)))"
    )
    assert python("-c", code)[0] == 0


@pytest.mark.parametrize("name", public_names())
def test_a_public_name_is_what_its_module_defines(name):
    value = getattr(sigjepa, name)
    assert name in dir(sigjepa)
    assert value.__name__ == name
    assert value.__module__.startswith("sigjepa.")
    assert value.__doc__


def test_an_unknown_name_is_an_attribute_error_and_a_submodule_an_import():
    with pytest.raises(AttributeError, match="Corpse"):
        _ = sigjepa.Corpse
    assert python("-c", "from sigjepa import errors, train_; print(errors)")[0] == 1
    assert python("-c", "from sigjepa import errors; print(errors)")[0] == 0


def test_type_checkers_see_the_names(tmp_path):
    assert (PACKAGE / "py.typed").exists()
    (tmp_path / "uses.py").write_text("import sigjepa\nreveal_type(sigjepa.SigPredictor)\nsigjepa.Corpse\n")
    stub, model = PACKAGE / "__init__.pyi", PACKAGE / "models" / "predictor.py"
    _, out, _ = python("-m", "mypy", "--follow-imports=skip", "--no-incremental", "uses.py", stub, model, cwd=tmp_path)
    assert "sigjepa.models.predictor.SigPredictor" in out
    assert 'Module has no attribute "Corpse"' in out


def test_every_command_is_listed_and_has_a_main():
    """A module at the top of the package is a command, unless it is shared by all of them."""
    shared = {"__init__", "__main__", "errors", "pipeline"}
    assert {path.stem for path in PACKAGE.glob("*.py")} - shared == set(COMMANDS)
    for name in COMMANDS:
        assert callable(importlib.import_module(f"sigjepa.{name}").main)
    _, out, _ = python("-m", "sigjepa", "--help")
    assert all(f"  {name} " in out for name in COMMANDS)


def test_a_misspelt_command_is_one_line_with_the_nearest():
    status, out, error = python("-m", "sigjepa", "trian", "experiment=exp1_4")
    assert (status, out, error.count("\n")) == (1, "", 1)
    assert "'train'" in error


def test_the_version_is_ours():
    assert python("-m", "sigjepa", "--version")[1] == f"sigjepa {sigjepa.__version__}\n"


def test_the_console_script_gives_the_command_its_words(tmp_path):
    """As `python -m` does: the same composed config, and a mistake in the same words."""
    words = ("experiment=exp2_1", "seed=3", "--cfg", "job")
    ours, theirs = (
        python("-m", *command, *words, cwd=tmp_path) for command in (("sigjepa", "train"), ("sigjepa.train",))
    )
    assert ours[0] == 0
    assert ours[1] == theirs[1]
    status, _, error = python("-m", "sigjepa", "report", "runs=absent", cwd=tmp_path)
    assert status == 1
    assert "absent" in error
    assert "Traceback" not in error
