"""The list of wheels: which release of which project, and the sha256 of its file."""

import re
from dataclasses import dataclass
from pathlib import Path

from sigjepa.errors import SigjepaError

PIN = re.compile(r"(?P<project>[A-Za-z0-9][\w.-]*)==(?P<version>\S+)\s+--hash=sha256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """One wheel of the list; `project` is its normalized name."""

    project: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        """Its line in a requirements file of pip's."""
        return f"{self.project}=={self.version} --hash=sha256:{self.sha256}"


def normalized(project: str) -> str:
    """Return a project's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", project).lower()


def read_pins(file: Path) -> list[Pin]:
    """Pins of a requirements file, by project; raises SigjepaError that names the line of a bad one."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SigjepaError(
            f"{file} cannot be read as a list of wheels ({error}); check corpus.source.wheels."
        ) from None
    pins: dict[str, Pin] = {}
    for number, line in enumerate(lines, start=1):
        requirement = re.sub(r"(^|\s)#.*", "", line).strip()
        if not requirement:
            continue
        match = PIN.fullmatch(requirement)
        if match is None:
            raise SigjepaError(
                f"{file}:{number}: {requirement!r} is not a pinned wheel; a line must be "
                f"`name==version --hash=sha256:<64 hexadecimal digits>`, one wheel a line."
            )
        pin = Pin(normalized(match["project"]), match["version"], match["sha256"])
        if pin.project in pins:
            raise SigjepaError(f"{file}:{number}: '{pin.project}' is pinned twice; keep one of the lines.")
        pins[pin.project] = pin
    if not pins:
        raise SigjepaError(f"{file} pins no wheel; check corpus.source.wheels.")
    return [pins[project] for project in sorted(pins)]
