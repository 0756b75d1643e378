"""Which of its hard negatives an anchor brings to a step: how many, how hard, and how much by chance."""

import math
from dataclasses import dataclass

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.hard_negatives import AnchorNegatives, Ids
from sigjepa.negatives.index.schedule import Schedule, as_schedule, check_extremes


@dataclass(frozen=True)
class Draw:
    """Draws from an anchor's negatives without replacement, with probability ∝ exp(cosim / temperature).

    The similarity is the cached one of the index, so a falling temperature anneals from any of them to the nearest
    ones; at 0 the draw is the nearest, at infinity it is uniform. A draw is a pure function of seed, step and anchor:
    it is the same in a resumed run, in any number of loader processes, and on whichever rank the anchor stands. An
    anchor with fewer negatives brings fewer: none is dropped for it, and no random rows fill up.

    Each of the first three is a number, or a schedule of the epoch.

    Args:
        number: most negatives of an anchor, rounded to a whole number.
        max_cosim: highest cosine of a negative that may be drawn, inclusive: the difficulty.
        temperature: of the softmax over cosines.
        related: most related bodies that an anchor brings as further positives, drawn uniformly; 0 brings none.
        seed: of the draws.

    Raises SigjepaError for a negative number or temperature, and a cosine outside [-1, 1].
    """

    number: Schedule | float = 8
    max_cosim: Schedule | float = 1.0
    temperature: Schedule | float = 0.0
    related: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, lowest, highest in (("number", 0, 1e9), ("max_cosim", -1, 1), ("temperature", 0, math.inf)):
            check_extremes(as_schedule(getattr(self, name)), f"draw.{name}", lowest, highest)
        for name in ("related", "seed"):
            if getattr(self, name) < 0:
                raise SigjepaError(f"draw.{name} must be at least 0, got {getattr(self, name)}.")

    def negatives(self, negatives: AnchorNegatives, anchor: int, step: int, epoch: float) -> AnchorNegatives:
        """The negatives that `anchor` brings at `step`, which lies at `epoch`; nearest first, `[n]` each."""
        number = round(as_schedule(self.number).value_at(epoch))
        max_cosim = as_schedule(self.max_cosim).value_at(epoch)
        if max_cosim < 1:  # nearest first: the ones that are too near stand at the start
            first = int(np.searchsorted(-negatives.cosims, -max_cosim, side="left"))
            negatives = negatives.at(slice(first, None))
        if len(negatives.ids) <= number:
            return negatives
        temperature = as_schedule(self.temperature).value_at(epoch)
        if temperature == 0:
            return negatives.at(slice(number))
        generator = self._generator(anchor, step, 0)
        # the highest logits after Gumbel noise are a softmax sample without replacement (https://arxiv.org/abs/1903.06059)
        logits = negatives.cosims / temperature + generator.gumbel(size=len(negatives.ids))
        chosen = np.sort(np.argpartition(-logits, number - 1)[:number]) if number else np.empty(0, np.int64)
        return negatives.at(chosen)

    def related_of(self, related: Ids, anchor: int, step: int) -> Ids:
        """Which of its `related` bodies `[R]` an anchor brings at `step`, ascending."""
        if len(related) <= self.related:
            return related
        return np.sort(self._generator(anchor, step, 1).choice(related, self.related, replace=False))

    def _generator(self, anchor: int, step: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, step, anchor, stream])
