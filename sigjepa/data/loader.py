"""A loader of training batches that can go on in the middle of an epoch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader

from sigjepa.data.batch import Batch
from sigjepa.data.sampler import LengthBucketSampler


@dataclass
class EpochPosition:
    """The number of batches that the next epoch leaves out, since they were served before an interruption."""

    first: int = 0


class ResumableLoader(DataLoader[Batch]):
    """A DataLoader over a `LengthBucketSampler` that begins its next epoch at a position, and any other at 0.

    position: shared by all loaders of a run, for a run that mines hard negatives anew makes one an epoch. Other
    arguments are DataLoader's. It has state, as Lightning asks of a loader that can go on in the middle of an epoch.
    """

    sampler: LengthBucketSampler
    served: int = 0

    def __init__(self, *arguments: Any, position: EpochPosition, **named_arguments: Any) -> None:
        super().__init__(*arguments, **named_arguments)
        self.position = position

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        self.sampler.first = self.served = self.position.first
        self.position.first = 0
        for batch in super().__iter__():
            self.served += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return the number of batches of the epoch have been served."""
        return {"served": self.served}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Leave out so many batches of the epoch that is begun next."""
        self.position.first = int(state_dict["served"])
