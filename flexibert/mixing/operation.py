"""An operation in a network: what one head of it computes, which weights it has and what it costs.

This is the network side of ``design_space.Operation``, with the same name. A head's context is

    attention, if it attends:  softmax(content . key / sqrt(D) + positions + padding) value
    plus, if it mixes:         what ``mix`` returns

of its query, key and value, which are linear maps of the layer's input. Everything else follows from this object: the
layer in both formats, checkpoint names, parameters and FLOPs, transfer, pruning and stitching.
Shapes: B batch, S sequence, D head size.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn
from transformers import initialization as init

from design_space import Layer

from .attention import Padding
from .axes import Flops, Parameter, Sizes
from .base import Mixing

Own = Mapping[str, Any]  # a head's own weights by name: nn.Parameter or nn.Module, as ``build`` made them


class Attends(Enum):
    """By what a head attends to positions."""

    CONTENTS = "contents"  # contents and keys are compared, positions count too
    POSITIONS = "positions"  # relative positions alone; with absolute ones, all positions alike
    NOTHING = "nothing"  # it does not


class HeadInputs(NamedTuple):
    """What a head may read: its query, key and value (B, S, D) where ``reads`` names them, and the padding."""

    query: Tensor | None
    key: Tensor | None
    value: Tensor
    padding: Padding


class HeadOperation(ABC):
    """What heads of one operation do; one instance serves all of them, and holds no weights.

    Attributes:
        name: of the registered ``design_space.Operation``.
        attends: by what its heads attend.
        mixes: whether ``mix`` adds something.
        reads: which of ``query`` and ``key`` are read by ``content`` or ``mix``; values are always there, and attention
            by contents reads both anyway.
        commutes_with_rotation: whether the head computes the same when queries and keys, or values, are rotated
            together; transfer may then choose the directions that matter, else it selects channels.
        maps_zero_to_zero: whether ``mix`` returns zeros for values of zero, so that such a head can be pruned.
    """

    name: ClassVar[str]
    attends: ClassVar[Attends] = Attends.NOTHING
    mixes: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ()
    commutes_with_rotation: ClassVar[bool] = False
    maps_zero_to_zero: ClassVar[bool] = False

    def build(self, parameter: Any, size: int) -> dict[str, nn.Parameter | nn.Module]:
        """New weights of a head's own, by name (without ``_`` and digits at the end: counters follow)."""
        return {}

    def parameters(self, parameter: Any, size: int) -> list[Parameter]:
        """The same weights as data: every parameter of ``build``, its axes of kinds ``head`` and ``fixed``, with the
        space of each ``head`` axis."""
        return []

    def init_weights(self, own: Own) -> None:
        """Give start values to bare ``nn.Parameter`` of ``build``; by default normal ones of deviation 0.02."""
        for weight in own.values():
            init.normal_(weight, 0.0, 0.02)

    def content(self, query_BSD: Tensor, own: Own) -> Tensor:
        """What a head that attends by contents compares with its keys: (B, S, D)."""
        return query_BSD

    def mix(self, inputs: HeadInputs, own: Own, parameter: Any) -> Tensor:
        """What is added to the context: (B, S, D). Only of operations that mix."""
        raise NotImplementedError

    @abstractmethod
    def flops(self, parameter: Any, size: int, length: int) -> Flops:
        """Work of ``content`` and ``mix`` for one sequence; query, key, value, attention and output are counted by the
        layer."""

    def standard(self) -> "StandardLayer | None":
        """How a layer of this operation alone is built in the standard format; None: like a hetero layer of such
        heads."""
        return None


class StandardLayer(ABC):
    """A layer in the standard format that is more than its heads side by side."""

    @abstractmethod
    def build(self, layer: Layer, config: Any) -> Mixing:
        """The module ``attention.self``."""

    @abstractmethod
    def parameters(self, layer: Layer, sizes: Sizes) -> list[Parameter]:
        """Its parameters, and ``attention.output.dense``'s; names start with ``attention.``."""

    @abstractmethod
    def flops(self, layer: Layer, length: int, positions: str) -> Flops:
        """Work of its module for one sequence."""

    def beside(self, layer: Layer) -> str | None:
        """Why two such layers of one kind are not one layer together; None where they are."""
        return None
