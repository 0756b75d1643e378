"""The matrix products of a piece of work, by themselves: what is left of it where all else costs nothing."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
FORWARD, BACKWARD = "_scaled_dot_product", "_backward"


class MatrixProducts(TorchDispatchMode):
    """Notes the operands of every matrix product within it, attention's included; `run` multiplies them alone.

    Attention is taken for its plain products, two forward and four backward, of all columns, padded ones included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, options = func.name().split(".")[0], kwargs or {}
        if name in PRODUCTS:
            self._note(*args[-2:])
        elif FORWARD in name:
            first = 1 if BACKWARD in name else 0
            query, key, value = args[first : first + 3]
            if BACKWARD not in name:
                self._attention(query, key, value)
            else:
                self._backward(args[0], query, key, value)
        else:
            with self:  # in inference mode `linear` comes as it is
                taken_apart = func.decompose(*args, **options)
            if taken_apart is not NotImplemented:
                return taken_apart
        return func(*args, **options)

    def _note(self, left: Tensor, right: Tensor) -> None:
        # with the strides, since a transposed operand is another product to the library
        self.pairs.append((left.detach(), right.detach()))

    def _attention(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        query, key, value = (each.detach().flatten(0, 1) for each in (query, key, value))
        self._note(query, key.mT)
        self._note(query.new_empty(len(query), query.shape[1], key.shape[1]).normal_(), value)

    def _backward(self, gradient: Tensor, query: Tensor, key: Tensor, value: Tensor) -> None:
        gradient, query, key, value = (each.detach().flatten(0, 1) for each in (gradient, query, key, value))
        weights = query.new_empty(len(query), query.shape[1], key.shape[1]).normal_()
        self._note(weights.mT, gradient)
        self._note(gradient, value.mT)
        self._note(weights, key)
        self._note(weights.mT, query)

    @property
    def operations(self) -> int:
        """Floating-point operations of all products."""
        return sum(2 * left.numel() * right.shape[-1] for left, right in self.pairs)

    def run(self) -> None:
        """Multiply all noted operands, in the order in which they came."""
        with torch.no_grad():
            for left, right in self.pairs:
                left @ right


def products_of(work: Callable[[], Any]) -> MatrixProducts:
    """Return the matrix products of a piece of work; raises AssertionError where torch counts more operations."""
    noted, counted = MatrixProducts(), FlopCounterMode(display=False)
    with counted, noted:
        work()
    assert noted.operations >= 0.99 * counted.get_total_flops(), (noted.operations, counted.get_total_flops())
    return noted
