"""Loaders of batches: workers that need no shared memory, and training that can go on in the middle of an epoch."""

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, Dataset

from sigjepa.data.batch import Batch
from sigjepa.data.sampler import LengthBucketSampler
from sigjepa.errors import LostProcessError


class BatchLoader(DataLoader[Batch]):
    """A DataLoader whose workers send whole batches as bytes through a pipe.

    Torch would pass tensors through /dev/shm, which containers keep small: workers that find it full are waited for
    without end. The sampler yields whole batches of ids and the dataset answers each with one Batch; arguments are
    DataLoader's. Raises LostProcessError naming `data.num_workers` where a worker dies or cannot be started.
    """

    def __init__(self, dataset: Dataset[Batch], num_workers: int = 0, **named_arguments: Any) -> None:
        super().__init__(
            dataset,
            batch_size=None,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            collate_fn=pickle.dumps if num_workers else None,
            **named_arguments,
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        try:
            for batch in super().__iter__():
                yield pickle.loads(batch) if self.num_workers else batch  # noqa: S301 (from our own worker)
        except (OSError, RuntimeError) as error:
            if self.num_workers and (isinstance(error, OSError) or "DataLoader worker (pid" in str(error)):
                raise LostProcessError(
                    f"The {self.num_workers} loader processes cannot run ({error}). Set data.num_workers=0, or give "
                    "the container more memory, also at /dev/shm, where processes keep their locks."
                ) from error
            raise


@dataclass
class EpochPosition:
    """The number of batches that the next epoch leaves out, since they were served before an interruption."""

    first: int = 0


class ResumableLoader(BatchLoader):
    """A BatchLoader over a `LengthBucketSampler` that begins its next epoch at a position, and any other at 0.

    position: shared by all loaders of a run, for a run that mines hard negatives anew makes one an epoch. It has
    state, as Lightning asks of a loader that can go on in the middle of an epoch.
    """

    sampler: LengthBucketSampler
    served: int = 0

    def __init__(self, dataset: Dataset[Batch], position: EpochPosition, **named_arguments: Any) -> None:
        super().__init__(dataset, **named_arguments)
        self.position = position

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        self.sampler.first = self.served = self.position.first
        self.position.first = 0
        for batch in super().__iter__():
            self.served += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches of the epoch have been served."""
        return {"served": self.served}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Leave out so many batches of the epoch that is begun next."""
        self.position.first = int(state_dict["served"])
