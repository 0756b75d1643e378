"""A command of the server is the process that `subprocess.run` would have started."""

import os
import signal
import subprocess
import sys
import time

import pytest
from command_server import command_server

MODULE = """
import json, os, sys

print(json.dumps([sys.argv[1:], os.getcwd(), os.environ["WORD"], __name__, __spec__ and __spec__.name, sys.path[0]]))
print("on stderr", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 3])
def test_it_prints_and_ends_as_a_process_of_its_own(run_python, tmp_path, code):
    (tmp_path / "words.py").write_text(MODULE)
    words = ["-m", "words", str(code), "ü '("]
    environment = os.environ | {"WORD": "a word"}
    expected = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    done = run_python(words, tmp_path, environment)
    assert (done.returncode, done.stdout, done.stderr) == (code, expected.stdout, expected.stderr)


def test_one_command_leaves_nothing_to_the_next(run_python, tmp_path):
    (tmp_path / "leaves.py").write_text(
        "import os, sys; os.environ['LEFT'] = '1'; sys.path.append('left'); raise OSError"
    )
    (tmp_path / "looks.py").write_text("import os, sys; print('LEFT' in os.environ, 'left' in sys.path)")
    failed = run_python(["-m", "leaves"], tmp_path, os.environ)
    assert failed.returncode == 1
    assert "OSError" in failed.stderr
    assert run_python(["-m", "looks"], tmp_path, os.environ).stdout == "False False\n"


def test_a_started_command_is_watched_and_killed(commands, tmp_path):
    (tmp_path / "waits.py").write_text(
        "import os, pathlib, signal\npathlib.Path(str(os.getpid())).touch()\nsignal.pause()"
    )
    started = commands.start(["waits.py"], tmp_path, os.environ)
    end = time.monotonic() + 60
    while not (tmp_path / str(started.pid)).exists():
        assert started.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    started.kill()
    assert started.wait().returncode == -signal.SIGKILL
    assert started.poll() == -signal.SIGKILL


def test_another_process_of_the_tests_is_served_beside_it(commands, shared_folder, tmp_path):
    (tmp_path / "waits.py").write_text("import signal\nsignal.pause()")
    (tmp_path / "looks.py").write_text("print('done')")
    started = commands.start(["waits.py"], tmp_path, os.environ)
    with command_server(shared_folder) as other:
        assert other.run(["looks.py"], tmp_path, os.environ).stdout == "done\n"
    started.kill()
    assert started.wait().returncode == -signal.SIGKILL
    assert commands.run(["looks.py"], tmp_path, os.environ).stdout == "done\n"
