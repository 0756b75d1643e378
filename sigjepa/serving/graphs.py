"""A dense student as a graph for other runtimes: ONNX, or torch.export."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sigjepa.errors import SigjepaError
from sigjepa.models.student import INPUTS
from sigjepa.serving.student import Student
from sigjepa.store.files import atomic_path

TOLERANCE = 1e-5
"""A graph's predictions, whose length is 1, may differ by so much from the student's."""
FILES = {"onnx": "student.onnx", "torch_export": "student.pt2"}
NAMES = ("signature_states", "signature_mask")


class DensePredictor(nn.Module):
    """Predict the normalized embedding of the body `[B, D]` from signature states `[B, S, D]` and mask `[B, S]`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, signature_states: Tensor, signature_mask: Tensor) -> Tensor:
        """Return `[B, D]`, whose cosine with a body is their product."""
        return F.normalize(self.model(signature_states, signature_mask).pooled, dim=-1)


def export_graph(student: Student, folder: Path, kind: str) -> Path:
    """Write a student's graph into a folder, hold it to the student on other sizes than it was traced with, and return
    its file.

    kind: of `FILES`. Raises SigjepaError for a student that reads more than states, a library that is not installed,
    and a graph that predicts something else.
    """
    if tuple(student.reads) != INPUTS:
        raise SigjepaError(
            f"{type(student.model).__name__} reads {', '.join(student.reads)}: a graph has token states alone. Use "
            "sigjepa.Student, or export a student that predicts one vector, such as model=sig_predictor."
        )
    module = DensePredictor(student.model).cpu().eval()
    path = folder / FILES[kind]
    with atomic_path(path) as temporary, unfused():
        run = (_export_onnx if kind == "onnx" else _export_torch)(module, _example(student, 2, 5), temporary)
        for batch, tokens in ((1, 1), (3, 9)):
            example = _example(student, batch, tokens)
            with torch.no_grad():
                difference = float((run(*example) - module(*example)).abs().max())
            if not difference <= TOLERANCE:
                raise SigjepaError(f"{path} would predict something else than the student, by {difference:.2g}.")
    return path


@contextmanager
def unfused() -> Iterator[None]:
    """Have transformer layers run as separate operators, which graphs have, not by a fused one, which they have not."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _example(student: Student, batch: int, tokens: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    states = torch.randn(batch, tokens, student.config.teacher_dim, generator=generator)
    lengths = torch.randint(1, tokens + 1, (batch, 1), generator=generator)
    return states, torch.arange(tokens) < lengths


def _shapes() -> dict[str, dict[int, Any]]:
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    return {name: {0: batch, 1: tokens} for name in NAMES}


def _export_torch(module: nn.Module, example: tuple[Tensor, Tensor], path: Path) -> Callable[..., Tensor]:
    program = torch.export.export(module, example, dynamic_shapes=_shapes())
    with path.open("wb") as stream:
        torch.export.save(program, stream)
    with path.open("rb") as stream:
        loaded = torch.export.load(stream).module()
    return loaded


def _export_onnx(module: nn.Module, example: tuple[Tensor, Tensor], path: Path) -> Callable[..., Tensor]:
    try:
        import onnxruntime  # noqa: PLC0415  an extra
        import onnxscript  # noqa: F401, PLC0415  torch exports with it
    except ImportError as error:
        raise SigjepaError(f"format=onnx needs {error.name}: pip install 'sigjepa[export]'.") from error
    program = torch.onnx.export(
        module,
        example,
        dynamo=True,
        input_names=list(NAMES),
        output_names=["prediction"],
        dynamic_shapes=_shapes(),
        verbose=False,
    )
    assert program is not None, "dynamo=True gives one"
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> Tensor:
        given = {name: tensor.numpy() for name, tensor in zip(NAMES, inputs, strict=True)}
        return torch.from_numpy(session.run(None, given)[0])

    return run
