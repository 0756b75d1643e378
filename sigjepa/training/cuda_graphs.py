"""CUDA graphs of a training step: what a few hundred launches of kernels cost is paid once a shape."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from sigjepa.data.batch import Batch
from sigjepa.errors import SigjepaError
from sigjepa.losses.distributed import world_size
from sigjepa.losses.loss import Progress, at_least_float32

if TYPE_CHECKING:
    from sigjepa.training.module import SigJepaModule

log = logging.getLogger(__name__)

Step = Callable[[Batch, Progress], tuple[Tensor, dict[str, Tensor | float]]]
"""What computes the loss of a batch and what is logged of it."""
Shapes = tuple[tuple[str, torch.Size], ...]


class CudaGraphs(Callback):
    """Record the forward and backward pass of each shape of batches that comes often, and replay it.

    Only in one process on a CUDA device that holds the token states (`data.device_resident`), without accumulation of
    gradients, and for a student and loss terms that are `capturable`: they read a batch's tensors alone, never the
    progress, and never wait for the device. Elsewhere it does nothing. An update is that of the ordinary step.

    after: how often a shape comes before it is recorded. max_graphs: shapes that are recorded; each keeps gradients of
    its own. torch_compile: whether it fuses the kernels first, which takes about a minute a shape.
    """

    def __init__(self, after: int = 3, max_graphs: int = 64, torch_compile: bool = False) -> None:
        if after < 1 or max_graphs < 1:
            raise SigjepaError("callbacks.cuda_graphs: after and max_graphs must be at least 1.")
        self.after = after
        self.max_graphs = max_graphs
        self.torch_compile = torch_compile

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the module's steps be replayed, where that can be."""
        module = cast("SigJepaModule", pl_module)
        components = [module.model, *module.losses.values()]
        alone = world_size() == 1 and trainer.accumulate_grad_batches == 1
        resident = getattr(getattr(trainer, "datamodule", None), "resident", None) is not None
        if (
            module.device.type == "cuda"
            and alone
            and resident
            and all(getattr(component, "capturable", False) for component in components)
        ):
            compute = torch.compile(module.compute_step, dynamic=False) if self.torch_compile else module.compute_step
            module.step = RecordedStep(module, compute, self.after, self.max_graphs)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the graphs, which hold memory of the device."""
        module = cast("SigJepaModule", pl_module)
        if isinstance(module.step, RecordedStep):
            log.info("%d of %d steps were replayed, by %d CUDA graphs", *module.step.counts())
            module.step = module.compute_step


class RecordedStep:
    """Compute steps by graphs of their shapes. compute: what is recorded; `after`, `max_graphs` are `CudaGraphs`'s."""

    def __init__(self, module: "SigJepaModule", compute: Step, after: int, max_graphs: int) -> None:
        self.module = module
        self.compute = compute
        self.after = after
        self.max_graphs = max_graphs
        self.seen: Counter[Shapes] = Counter()
        self.replayed = 0
        self.graphs: dict[Shapes, FlatStep] = {}
        self.pool: tuple[int, int] | None = None

    def __call__(self, batch: Batch, progress: Progress) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Return what `compute_step` returns."""
        tensors = tensors_of(batch)
        if tensors is None:
            return self.module.compute_step(batch, progress)
        shapes = tuple((name, tensor.shape) for name, tensor in tensors.items())
        graph = self.graphs.get(shapes)
        if graph is None:
            self.seen[shapes] += 1
            if self.seen[shapes] <= self.after or len(self.graphs) >= self.max_graphs:
                return self.module.compute_step(batch, progress)
            graph = self.graphs[shapes] = self._record(tensors)
        self.replayed += 1
        total, figures = graph(*tensors.values())
        return total, dict(zip(graph.figures, figures.unbind(), strict=True))

    def counts(self) -> tuple[int, int, int]:
        """Return how many steps were replayed, how many there were, and how many graphs."""
        return self.replayed, self.replayed + sum(self.seen.values()) - len(self.graphs), len(self.graphs)

    def _record(self, tensors: Mapping[str, Tensor]) -> "FlatStep":
        """Return the graph of these shapes; no random number that training draws is used up by it."""
        if self.pool is None:
            self.pool = torch.cuda.graph_pool_handle()
        flat = FlatStep(self.module, self.compute, list(tensors))
        state = torch.cuda.get_rng_state(self.module.device)
        samples = tuple(tensor.clone() for tensor in tensors.values())  # each step's batch is copied into them
        try:
            torch.cuda.make_graphed_callables(flat, samples, allow_unused_input=True, pool=self.pool)  # type: ignore[call-overload]
        except RuntimeError as error:
            raise SigjepaError(
                f"A training step can't be recorded as a CUDA graph ({str(error).splitlines()[0]}); set "
                "callbacks.cuda_graphs=null."
            ) from error
        torch.cuda.set_rng_state(state, self.module.device)
        return flat


class FlatStep(nn.Module):
    """A step as a module from a batch's tensors to the loss and its figures `[F]`, as a graph is made of.

    names: of the tensors, as a Batch calls them. figures: names of what is logged, once a step was computed.
    """

    def __init__(self, module: "SigJepaModule", compute: Step, names: list[str]) -> None:
        super().__init__()
        self.model, self.losses = module.model, module.losses  # whose parameters get the gradients
        self.compute = compute
        self.names = names
        self.figures: list[str] = []

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the figures."""
        given: dict[str, Any] = dict(zip(self.names, tensors, strict=True))
        batch = Batch(**given)
        total, logs = self.compute(batch, Progress(epoch=0, step=0))
        self.figures = list(logs)
        return total, torch.stack([at_least_float32(cast(Tensor, value)) for value in logs.values()])


def tensors_of(batch: Batch) -> dict[str, Tensor] | None:
    """Return the tensors of a batch by name; None where it has more than tensors, so its shapes do not come again."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    present = {name: value for name, value in values.items() if value is not None}
    return present if all(isinstance(value, Tensor) for value in present.values()) else None
