"""Progress of anything over five seconds: a bar on a terminal, and a stage that the command's status can tell about."""

import io
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

SHOWN_BY_A_BAR = {"shown_by_a_bar": True}
"""Marks a line of the log that a terminal shows as a bar already, so that only files get it from there."""


@dataclass(eq=False)
class Stage:
    """One thing that a command is doing, and how far it is.

    total: None where it can't be known. initial: what was done before it began, which makes no rate. facts: what else
    is worth telling, such as the epoch. told: when a line of its own was last logged.
    """

    name: str
    total: int | None = None
    unit: str = "it"
    done: int = 0
    initial: int = 0
    began: float = field(default_factory=time.monotonic)
    facts: dict[str, Any] = field(default_factory=dict)
    told: float = 0.0

    def rate(self, now: float) -> float | None:
        """Return the units a second since it began; None before the first."""
        seconds = now - self.began
        return (self.done - self.initial) / seconds if seconds > 0 and self.done > self.initial else None

    def eta(self, now: float) -> float | None:
        """Return the seconds that are left at this rate; None where that can't be said."""
        rate = self.rate(now)
        return max(0.0, self.total - self.done) / rate if rate and self.total is not None else None

    def line(self, now: float) -> str:
        """Return how far it is, in words."""
        rate, eta = self.rate(now), self.eta(now)
        counted = self.done or self.total is not None
        parts = [
            f"{self.done:,}" + (f"/{self.total:,}" if self.total is not None else "") + f" {self.unit}"
            if counted
            else "",
            f"{100 * self.done / self.total:.0f} %" if self.total else "",
            f"{rate:,.3g} {self.unit}/s" if rate else "",
            f"{tqdm.format_interval(now - self.began)} so far",
            f"{tqdm.format_interval(eta)} left" if eta is not None else "",
            *(f"{name} {value:.4g}" for name, value in self.facts.items() if isinstance(value, int | float)),
        ]
        return f"{self.name}: " + ", ".join(filter(None, parts))


class Observer(Protocol):
    """Is told of each stage of a command."""

    def began(self, stage: Stage) -> None:
        """A stage has begun; its `done` grows from now on."""

    def ended(self, stage: Stage) -> None:
        """A stage is over, or was given up."""


_observer: ContextVar[Observer | None] = ContextVar("observer of stages", default=None)


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Tell `observer` of every stage while this lasts; bars are then drawn on a terminal only."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@contextmanager
def stage(name: str, *, total: int | None = None, unit: str = "it") -> Iterator[Stage]:
    """A stage that draws no bar: one whose bar another library draws, or that can't be counted."""
    observer, stage = _observer.get(), Stage(name, total, unit)
    if observer is not None:
        observer.began(stage)
    try:
        yield stage
    finally:
        if observer is not None:
            observer.ended(stage)


class Bar(tqdm):
    """A `tqdm` that is a stage as well."""

    stage: Stage | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.observer = _observer.get()
        self.stage = Stage(options["desc"], self.total, options["unit"], self.n, self.initial)
        if self.observer is not None:
            self.observer.began(self.stage)

    def update(self, n: float | None = 1) -> bool | None:
        """As `tqdm.update`."""
        drawn: bool | None = super().update(n)
        self._tell()
        return drawn

    def close(self) -> None:
        """As `tqdm.close`."""
        super().close()
        self._tell()
        if self.stage is not None and self.observer is not None:
            self.observer.ended(self.stage)
            self.observer = None

    def _tell(self) -> None:
        if self.stage is not None:
            self.stage.done, self.stage.initial, self.stage.total = self.n, self.initial, self.total


class _Nowhere(io.TextIOBase):
    """A stream for a bar that nobody sees: the log has a line a minute instead."""

    def write(self, text: str, /) -> int:
        return len(text)


def progress(
    items: Iterable[Item] | None, description: str, *, total: int | None = None, unit: str = "it"
) -> "tqdm[Item]":
    """Return a `tqdm` over `items` (or a manual one when `items` is None) that suits where standard error goes."""
    seen, told = sys.stderr.isatty(), _observer.get() is not None
    return Bar(
        items,
        desc=description,
        total=total,
        unit=unit,
        mininterval=0.1 if seen or told else 60.0,
        file=None if seen or not told else _Nowhere(),
        delay=1.0,
        dynamic_ncols=True,
    )
