"""The sampler of the hard negatives that an anchor brings to a step: how many, how hard, and how much by chance."""

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from sigjepa.negatives.index.hard_negatives import AnchorNegatives, Ids
from sigjepa.negatives.index.ramp import Schedule, check_extremes, value_at
from sigjepa.runtime.fields import component

NotNegative = Annotated[int, Field(ge=0)]


@component("negatives.sampler")
class NegativeSampler:
    """Samples from an anchor's negatives without replacement, with probability ∝ exp(cosim / temperature).

    The similarity is the cached one of the index, so a falling temperature anneals from any of them to the nearest
    ones; at 0 the sample is the nearest, at infinity it is uniform. A sample is a pure function of seed, step and
    anchor: it is the same in a resumed run, in any number of loader processes, and on whichever rank the anchor stands.
    An anchor with fewer negatives brings fewer: none is dropped for it, and no random rows fill up.

    Each of the first three is a number, or a ramp over epochs.

    Args:
        number: most negatives of an anchor, rounded to a whole number.
        max_cosim: highest cosine of a negative that may be sampled, inclusive: the difficulty.
        temperature: of the softmax over cosines.
        related: most related bodies that an anchor brings as further positives, sampled uniformly; 0 brings none.
        seed: of the samples.

    Raises SigjepaError for a negative number or temperature, and a cosine outside [-1, 1].
    """

    number: Schedule = 8
    max_cosim: Schedule = 1.0
    temperature: Schedule = 0.0
    related: NotNegative = 0
    seed: NotNegative = 0

    def __post_init__(self) -> None:
        for name, lowest, highest in (("number", 0, 1e9), ("max_cosim", -1, 1), ("temperature", 0, math.inf)):
            check_extremes(getattr(self, name), f"negatives.sampler.{name}", lowest, highest)

    def negatives(self, negatives: AnchorNegatives, anchor: int, step: int, epoch: float) -> AnchorNegatives:
        """Return the negatives that `anchor` brings at `step`, which lies at `epoch`; nearest first, `[n]` each."""
        number = round(value_at(self.number, epoch))
        max_cosim = value_at(self.max_cosim, epoch)
        if max_cosim < 1:  # nearest first: the ones that are too near stand at the start
            first = int(np.searchsorted(-negatives.cosims, -max_cosim, side="left"))
            negatives = negatives.at(slice(first, None))
        if len(negatives.ids) <= number:
            return negatives
        temperature = value_at(self.temperature, epoch)
        if temperature == 0:
            return negatives.at(slice(number))
        generator = self._generator(anchor, step, 0)
        # the highest logits after Gumbel noise are a softmax sample without replacement (https://arxiv.org/abs/1903.06059)
        logits = negatives.cosims / temperature + generator.gumbel(size=len(negatives.ids))
        chosen = np.sort(np.argpartition(-logits, number - 1)[:number]) if number else np.empty(0, np.int64)
        return negatives.at(chosen)

    def related_of(self, related: Ids, anchor: int, step: int) -> Ids:
        """Return which of its `related` bodies `[R]` an anchor brings at `step`, ascending."""
        if len(related) <= self.related:
            return related
        return np.sort(self._generator(anchor, step, 1).choice(related, self.related, replace=False))

    def _generator(self, anchor: int, step: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, step, anchor, stream])
