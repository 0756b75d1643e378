"""A pass over a split: what each batch gives, put together and ranked with the last one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sigjepa.data.batch import Batch
from sigjepa.data.views import View, Views, concatenate_views, take_views
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.first_bodies import FirstBodies, first_bodies
from sigjepa.evaluation.ranks import Ranks, pool_ranks, view_ranks
from sigjepa.losses.distributed import gather_rows, process_number, world_size
from sigjepa.models.prediction import Prediction


@dataclass(frozen=True)
class Evaluation:
    """The predictions and bodies of some functions.

    ids: `[n]`. predictions, bodies: `[n, D]`, whose cosines mean something. views: of predictions and of bodies, of a
    student whose score is not the cosine.
    """

    ids: Tensor
    predictions: Tensor
    bodies: Tensor
    views: tuple[Views, Views] | None = None

    def ranks(self, owners: npt.NDArray[np.int64] | None = None) -> Ranks:
        """Return the rank of each function's own body among all: a share of them in each process, then exchanged.

        owners: those of `Targets`, where there are views: bodies that are cut to the same tokens have one embedding,
        and other words.
        """
        if self.views is not None:
            return view_ranks(*self.views, self._identity(owners))
        queries = torch.arange(len(self.ids), device=self.ids.device)
        share = queries.tensor_split(world_size())[process_number()]
        ranks = pool_ranks(self.predictions, self.bodies, queries=share)
        places = torch.from_numpy(np.stack([ranks.optimistic, ranks.pessimistic], axis=1)).to(self.ids.device)
        return Ranks(*gather_rows(places)[0].cpu().numpy().T)

    def first_bodies(self, owners: npt.NDArray[np.int64] | None = None) -> FirstBodies | None:
        """Return what is ranked first and why; None where it is the cosine, which the predictions tell.

        owners: as in `ranks`.
        """
        return None if self.views is None else first_bodies(*self.views, self._identity(owners))

    def _identity(self, owners: npt.NDArray[np.int64] | None) -> Tensor:
        """Return which function's body each function has `[n]`."""
        assert owners is not None, "views are ranked with the owners of bodies"
        return torch.from_numpy(owners[self.ids.cpu().numpy()]).to(self.ids.device)


def evaluation(prediction: Prediction, batch: Batch) -> Evaluation:
    """Return what one batch gives."""
    predicted = prediction.pooled.float()
    if prediction.views is None or batch.body_views is None:
        return Evaluation(batch.ids, predicted, batch.body_pooled)
    pooled: View | None = batch.body_views.get("pooled")
    bodies = pooled.vectors if pooled is not None and isinstance(pooled.vectors, Tensor) else batch.body_pooled
    return Evaluation(batch.ids, predicted, bodies, (prediction.views, batch.body_views))


def concatenate_evaluations(parts: Sequence[Evaluation]) -> Evaluation:
    """Return what all batches of all processes gave, ascending by id; there is at least one batch in each process."""
    ids, predictions, bodies = (
        gather_rows(torch.cat([getattr(part, name) for part in parts]))[0] for name in ("ids", "predictions", "bodies")
    )
    order = torch.argsort(ids)
    pairs = [part.views for part in parts if part.views is not None]  # of one process alone, as `on_fit_start` checks
    views = None
    if pairs:
        of_predictions, of_bodies = (take_views(concatenate_views(half), order) for half in zip(*pairs, strict=True))
        views = (of_predictions, of_bodies)
    return Evaluation(ids[order], predictions[order], bodies[order], views)


def check_each_once(ids: Tensor, split: str) -> None:
    """Raise SigjepaError when a function was evaluated more than once; ids: `[n]`, ascending, of all processes."""
    twice = ids[1:][ids[1:] == ids[:-1]].unique()
    if len(twice):
        raise SigjepaError(
            f"{len(twice)} functions of the {split} split were evaluated more than once, the first with id "
            f"{int(twice[0])}: processes must share the split out. Keep trainer.use_distributed_sampler=false."
        )
