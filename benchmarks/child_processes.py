"""Processes that a benchmark starts, and the CPU time that they take."""

import os
import resource
import subprocess
import sys
from collections.abc import Sequence

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""In which Python keeps what it compiles, as it does by default: else each process compiles this package anew."""


def cpu_seconds(arguments: Sequence[str], *, check: bool = True) -> float:
    """Return the user and system time of one `python <arguments>`.

    check: raise CalledProcessError for another exit code than 0.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=check, env=ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
