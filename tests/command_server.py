"""Commands in processes of their own that start at once: forks of a process that has the heavy libraries imported.

`python -m sigjepa.train` spends several seconds importing torch and Lightning, and the tests run more than a hundred
commands. The server imports them once, and what all commands share of sigjepa; for each command it forks a process that
takes the command's folder, environment and output, and runs the command's module as `__main__`. It runs no computation
before it forks, so that a command has threads of its own.
"""

import atexit
import contextlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from filelock import FileLock

PRELOADED = (
    "wandb.sdk.launch",  # before torch: it looks for the source of its classes among all modules that are there
    "wandb.cli.cli",
    "torch._dynamo",
    "lightning.pytorch",
    "transformers.models.auto.modeling_auto",
    "hydra.main",
    "pandas",  # pyarrow imports it when it makes its first column
    "pyarrow.parquet",
    "transformers.models.bert.modeling_bert",
    "sigjepa.pipeline",
    "sigjepa.training.callbacks",
    "sigjepa.training.module",
    "sigjepa.training.sweep_jobs",
    "sigjepa.reporting.report_folder",
    "wandb_workspaces.workspaces",
)


class Command:
    """A command that was started: the number of its process, and what it came to."""

    def __init__(self, words: Sequence[str], pid: int, status: Future[str], folder: TemporaryDirectory) -> None:
        self.pid = pid
        self._words, self._status, self._folder = words, status, folder

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        return int(self._status.result()) if self._status.done() else None

    def wait(self, timeout: float = 800) -> subprocess.CompletedProcess[str]:
        """Return what `subprocess.run` would; a process that takes longer is killed, which is an error."""
        try:
            status = self._status.result(timeout)
        except TimeoutError:
            self.kill()
            self._status.result(60)
            raise
        with self._folder as folder:
            printed = [Path(folder, name).read_text(errors="replace") for name in ("stdout", "stderr")]
        assert status, f"no answer from the command {self._words}:\n{printed[0]}{printed[1]}"
        return subprocess.CompletedProcess(self._words, int(status), *printed)

    def kill(self) -> None:
        """Kill the process, if it still runs."""
        if not self._status.done():
            os.kill(self.pid, signal.SIGKILL)


class CommandServer:
    """Run Python commands as forks of one process, which the tests of one session share."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._requests, self._answers = connection.makefile("w"), connection.makefile("r")
        self._reader = ThreadPoolExecutor(1)
        self._lock = threading.Lock()  # one command at a time

    def start(self, words: Sequence[str | Path], cwd: Path, environment: Mapping[str, str]) -> Command:
        """Start `python <words>`, `-m module …` or `script.py …`; the one before must have ended."""
        self._lock.acquire()
        folder = TemporaryDirectory()
        files = {name: str(Path(folder.name, name)) for name in ("stdout", "stderr")}
        for file in files.values():
            Path(file).touch()
        request = {"words": [*map(str, words)], "cwd": str(cwd), "environment": dict(environment), **files}
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        pid = int(self._answers.readline())
        status = self._reader.submit(self._answers.readline)
        status.add_done_callback(lambda _: self._lock.release())
        return Command(request["words"], pid, status, folder)

    def run(
        self, words: Sequence[str | Path], cwd: Path, environment: Mapping[str, str], timeout: float = 800
    ) -> subprocess.CompletedProcess[str]:
        """Run `python <words>`, `-m module …` or `script.py …`, and return what `subprocess.run` would."""
        return self.start(words, cwd, environment).wait(timeout)

    def close(self) -> None:
        """Take leave of the server."""
        self._connection.shutdown(socket.SHUT_RDWR)
        self._reader.shutdown()
        self._connection.close()


@contextlib.contextmanager
def command_server(shared: Path) -> Iterator[CommandServer]:
    """Give a server that ends with the block, of one process for all who name the folder `shared`.

    Whoever comes first starts it, and it ends with the one who did; those whom it serves by then keep theirs.
    """
    with contextlib.ExitStack() as stack:
        with FileLock(shared / "server.lock"):
            try:
                connection = _connected((shared / "server").read_text())
            except (FileNotFoundError, ConnectionRefusedError):
                folder = Path(stack.enter_context(TemporaryDirectory()))  # a socket's path must be short
                command = [sys.executable, "-u", __file__, str(folder / "socket")]
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                stack.callback(process.wait, 60)
                stack.callback(process.stdin.close)
                assert process.stdout.readline() == "ready\n"
                (shared / "server").write_text(command[-1])
                connection = _connected(command[-1])
        server = CommandServer(connection)
        stack.callback(server.close)
        yield server


def _connected(address: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    return connection


def _take_over(request: Mapping) -> None:
    """Become the process of a command: its folder, environment, output and path of imports."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [os.open(os.devnull, os.O_RDONLY), os.open(request["stdout"], flags), os.open(request["stderr"], flags)]
    for descriptor, file in enumerate(files):
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdin = open(0)  # noqa: SIM115  (the process's own, to its end)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=False, write_through=False)  # the server is unbuffered, a command is not
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[0:1] = [request["cwd"], *(path for path in added if path)]


def _renew_folders_of_wandb() -> None:
    """Give this command temporary folders of its own in place of those that W&B made when it was imported: each command
    removes its own at its end, while others run.
    """
    from wandb.sdk.artifacts.artifact import Artifact
    from wandb.sdk.data_types._private import MEDIA_TMP

    for folder in (Artifact._TMP_DIR, MEDIA_TMP):
        folder._finalizer.detach()
        folder.name = mkdtemp()


def _run(words: Sequence[str]) -> None:
    if words[0] == "-m":
        sys.argv = list(words[1:])
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(words)
        sys.path[0] = str(Path(words[0]).resolve().parent)
        runpy.run_path(words[0], run_name="__main__")


def _run_to_the_end(words: Sequence[str]) -> None:
    """Run a command and end its process as Python does, but for taking apart all that was imported: half a second."""
    status: Any = 0
    try:
        _run(words)
    except KeyboardInterrupt:
        raise
    except SystemExit as ended:
        status = ended.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:  # noqa: BLE001 - as Python does at the top
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def _serve(address: str) -> None:
    """Import what commands need, and answer each that connects by a process of its own, until standard input ends.

    Returns in the fork that is a command, to run to its end.
    """
    import gc
    import importlib

    for name in PRELOADED:
        importlib.import_module(name)
    from omegaconf import OmegaConf
    from quicker import be_quicker

    be_quicker()
    for path in (Path(__file__).parents[1] / "conf").rglob("*.yaml"):
        with path.open() as stream:
            OmegaConf.load(stream)  # no command has to parse it
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while listener in select.select([sys.stdin, listener], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(connection)
                return
            connection.close()


def _answer(connection: socket.socket) -> None:
    """Answer each request, a line of JSON, with the exit status of its process; return in the fork, to run it."""
    with connection, connection.makefile("r") as requests:
        for line in requests:
            process = os.fork()
            if process == 0:
                requests.close()
                connection.close()
                request = json.loads(line)
                _take_over(request)
                _renew_folders_of_wandb()
                _run_to_the_end(request["words"])
            connection.sendall(f"{process}\n".encode())
            connection.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n".encode())


if __name__ == "__main__":
    _serve(sys.argv[1])
