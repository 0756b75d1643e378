"""Serve a search as a page and a JSON API: `python -m sigjepa.serve index=my_index`."""

import errno
import os
import socket
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sigjepa.errors import SigjepaError
from sigjepa.index import student_options
from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.imports import TEACHERS_LIBRARY, import_libraries
from sigjepa.runtime.instantiate import plain

LOOPBACK = ("127.0.0.1", "localhost")
MAX_THREADS = 4
"""Threads that search: Python itself is run by one of them at a time."""


def serve(config: DictConfig) -> None:
    """Answer requests until it is interrupted."""
    resolved = plain(config)
    check_settings(resolved)
    try:
        import uvicorn

        from sigjepa.serving.page.app import create_app
    except ModuleNotFoundError as error:
        raise SigjepaError(f"The page needs {error.name}: pip install 'sigjepa[serving]'.") from None
    from sigjepa.serving.code_search import CodeSearch
    from sigjepa.serving.query import read_query
    from sigjepa.serving.student_files import CARD_FILE
    from sigjepa.store.executors.local import core_count
    from sigjepa.training.run_file_names import STUDENT_FOLDER

    with listening_socket(resolved["host"], resolved["port"]) as listener:  # before anything slow
        search = CodeSearch.open(resolved["index"], resolved["student"], **student_options(resolved))
        import_libraries([TEACHERS_LIBRARY])
        search.search(read_query("def first(self):"))  # the teacher is read now, not at the first request
        card = Path(resolved["index"], STUDENT_FOLDER, CARD_FILE)
        app = create_app(
            search,
            card=card.read_text(encoding="utf-8") if card.is_file() else "",
            hosts=hosts_of(resolved),
            max_query_bytes=resolved["max_query_bytes"],
            rate=float(resolved["requests_per_second"]),
            threads=min(core_count(), MAX_THREADS),
        )
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"{len(search.index):,} functions at http://{shown}:{port}/ (Ctrl+C ends)", flush=True)
        settings = uvicorn.Config(app, log_level="warning", server_header=False, timeout_keep_alive=5)
        uvicorn.Server(settings).run(sockets=[listener])


def check_settings(resolved: dict[str, Any]) -> None:
    """Raise SigjepaError for a port or a limit that is out of range."""
    for key, least, most in (
        ("port", 0, 65535),
        ("max_query_bytes", 100, 1 << 20),
        ("requests_per_second", 1, 1_000_000),
    ):
        value = resolved[key]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise SigjepaError(f"{key}={value} must be a whole number from {least} to {most:,}.")


def hosts_of(resolved: dict[str, Any]) -> list[str]:
    """Return the names under which a browser may ask for the page."""
    if resolved["hosts"] is not None:
        return [str(host) for host in resolved["hosts"]]
    host = str(resolved["host"])
    if host in ("0.0.0.0", "::", ""):
        return ["*"]
    return [*LOOPBACK, host]


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises SigjepaError for a port in use and an address that is not this machine's."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SigjepaError(f"port={port} of {host} is in use; give another, or port=0 for a free one.") from None
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise SigjepaError(f"host={host} port={port} can't be listened at: {reason}. Give another.") from None
    return listener


def main() -> None:
    """Run the command of `sys.argv`."""
    # Each core has a search of its own: cores that share one spin while they wait, a third of what a request costs. It
    # is read when torch and numpy's BLAS are imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_command("serve", lambda: hydra_job("serve", serve, ["torch"]))


if __name__ == "__main__":
    main()
