"""What a walk finds: things, how each was made, and whether every link between them holds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

State: TypeAlias = Literal["verified", "changed", "missing", "gone", "not recorded"]
STATES: tuple[State, ...] = ("verified", "changed", "missing", "gone", "not recorded")
"""`gone` is of source files alone, which may lie on another machine; what is `missing` should be there."""
WRONG: tuple[State, ...] = ("changed", "missing")


@dataclass(frozen=True)
class Check:
    """One link: what was compared, how it stands, how many things that speaks of, and what a person should know."""

    what: str
    state: State
    detail: str = ""
    count: int = 1


@dataclass
class Link:
    """One thing of the chain: how it was made, what of it was checked, and what it was made from."""

    kind: str
    path: str
    made: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    upstream: list["Link"] = field(default_factory=list)

    def walk(self) -> Iterator["Link"]:
        """This thing and everything that it was made from."""
        yield self
        for link in self.upstream:
            yield from link.walk()

    def counts(self) -> Counter[str]:
        """Checks of the whole chain by state."""
        counts: Counter[str] = Counter()
        for link in self.walk():
            for check in link.checks:
                counts[check.state] += check.count
        return counts

    def holds(self) -> bool:
        """Whether nothing in the whole chain is changed or missing."""
        counts = self.counts()
        return not any(counts[state] for state in WRONG)


def compared(what: str, found: object, expected: object, detail: str = "") -> Check:
    """A check that two values are equal; says both when they are not."""
    if found == expected:
        return Check(what, "verified", detail)
    return Check(what, "changed", f"it is {found}, recorded was {expected}")
