"""Parts that failed on a cluster: tried again elsewhere, and named when that does not help either."""

import logging
from collections import Counter, deque
from collections.abc import Iterable

from sigjepa.errors import SigjepaError
from sigjepa.store.executors.worker import Failure
from sigjepa.store.stage import Part

log = logging.getLogger(__name__)

MAX_TRIES = 3
MAX_FAILED = 10
"""When so many parts have failed for good, no further one is begun: they would, too."""
MAX_NAMED = 3


class Tries:
    """The parts that wait to be built, and those that have failed `MAX_TRIES` times."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.waiting = deque(parts)
        self._tried: Counter[str] = Counter()
        self._failed: dict[str, Failure] = {}

    def fail(self, failure: Failure) -> None:
        """Have the part wait for another try, if there is one left; raises at once what the user can mend."""
        if failure.error is not None:
            raise failure.error
        name = failure.part.name
        self._tried[name] += 1
        log.warning("%s failed on %s, try %d of %d: %s", name, failure.host, self._tried[name], MAX_TRIES, failure.said)
        if failure.trace and self._tried[name] == MAX_TRIES:
            log.warning("%s", failure.trace)
        if self._tried[name] < MAX_TRIES:
            self.waiting.append(failure.part)
            return
        self._failed[name] = failure
        if len(self._failed) >= MAX_FAILED:
            self.waiting.clear()

    def check(self) -> None:
        """Raise SigjepaError naming the parts that have failed for good, if any have."""
        if not self._failed:
            return
        named = [f"{name} on {failure.host}: {failure.said}" for name, failure in self._failed.items()]
        more = f" And {len(named) - MAX_NAMED} more." if len(named) > MAX_NAMED else ""
        raise SigjepaError(
            f"{len(named)} {'part' if len(named) == 1 else 'parts'} failed {MAX_TRIES} times; what else was built is "
            f"kept. {' '.join(named[:MAX_NAMED])}{more} Mend that, and give the same command again: it builds what is "
            "missing alone."
        )
