"""Small stages, with which the store is tried as with any other."""

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sigjepa.errors import SigjepaError
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Part, Stage


@dataclass(frozen=True)
class Squares(Stage[list[int]]):
    """The squares of `numbers` numbers, `per_part` in a file; `log` notes what is built, outside of the data."""

    numbers: int = 5
    per_part: int = 2
    log: str = ""
    die_in: str = ""
    seconds: float = 0.0
    kind: ClassVar[str] = "squares"

    @property
    def label(self) -> str:
        return "plain"

    def inputs(self) -> dict[str, Any]:
        return {"numbers": self.numbers, "per_part": self.per_part}

    def parts(self) -> Sequence[Part]:
        starts = range(0, self.numbers, self.per_part)
        return [Part(f"part-{start:03d}", start, min(start + self.per_part, self.numbers)) for start in starts]

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        (out / "files").mkdir()
        file = out / "files" / f"{part.name}.txt"
        file.write_text("\n".join(str(number * number) for number in range(part.start, part.stop)))
        time.sleep(self.seconds)
        if part.name == self.die_in:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.log:
            with Path(self.log).open("a") as stream:
                stream.write(f"{part.name}\n")
        return {part.name: part.size}

    def open(self, manifest: Manifest) -> list[int]:
        return [int(line) for name in manifest.files for line in (manifest.folder / name).read_text().splitlines()]


@dataclass(frozen=True)
class Total(Stage[int]):
    """The sum of squares, built from them."""

    squares: Sequence[int]
    reference: Reference
    kind: ClassVar[str] = "total"

    def inputs(self) -> dict[str, Any]:
        return {"squares": self.reference.content}

    def upstream(self) -> Mapping[str, Reference]:
        return {"squares": self.reference}

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        (out / "total.txt").write_text(str(sum(self.squares)))
        return {"numbers": len(self.squares)}

    def open(self, manifest: Manifest) -> int:
        return int((manifest.folder / "total.txt").read_text())


@dataclass(frozen=True)
class Fragile(Squares):
    """Squares whose part `breaks_in` fails so many times, by an error or the death of its process, noted in `marks`."""

    marks: str = ""
    breaks_in: str = ""
    raises: int = 0
    deaths: int = 0
    ballast: bytes = b""

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        if part.name == self.breaks_in:
            marks = len(list(Path(self.marks).iterdir()))
            if marks < self.raises + self.deaths:
                Path(self.marks, str(marks)).touch()
                if marks < self.raises:
                    raise ValueError("a bad day")
                os.kill(os.getpid(), signal.SIGKILL)
        if self.log:
            with Path(self.log).open("a") as stream:
                stream.write(f"on-{os.environ.get('NODE', 'none')}\n")
        time.sleep(float(os.environ.get("SLOW", "0")))
        return super().build(part, out)


@dataclass(frozen=True)
class NeedsAKey(Squares):
    """Squares that are not built without a key in the environment."""

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        if "SQUARES_API_KEY" not in os.environ:
            raise SigjepaError("The endpoint refuses the request: 401.")
        return super().build(part, out)


@dataclass(frozen=True)
class Late(Squares):
    """Squares whose files are hidden as soon as they are written, and seen again after `hidden` seconds."""

    hidden: float = 1.0

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        facts = super().build(part, out)
        threading.Thread(target=self.hide, args=(out.parent / "files" / f"{part.name}.txt",)).start()
        return facts

    def hide(self, file: Path) -> None:
        while not file.exists():
            time.sleep(0.0002)
        file.rename(file.with_suffix(".hidden"))
        time.sleep(self.hidden)
        file.with_suffix(".hidden").rename(file)
