"""The parameters of a network as data: names, shapes, what each axis means. No torch.

An axis is ``blocks`` pieces of ``size`` side by side. Its ``kind`` says what the pieces are:

    residual      the layer's width H
    next          the next layer's width (of ``proj_head``)
    heads         N heads of size D
    head          one head, of size D
    attending     of a standard convolution layer, the heads that attend
    convolving    and those that convolve
    split         both, in this order
    ff0, ff1, ... widths of the feed-forward stack; ``ff_last`` is the last one, as ``output.dense`` reads it
    fixed         tables and kernels: the same size in any two encoders compared

and its ``space``, for axes of heads, which vectors of a head it lists: ``query``, ``key``, ``value``, or one that an
operation names itself. Transfer, pruning and stitching know parameters by these axes alone.
"""

from math import prod
from typing import Any, NamedTuple


class Sizes(NamedTuple):
    """What the parameters of an encoder depend on beside its spec; defaults are those of ``FlexiBERTConfig``."""

    vocab_size: int = 30522
    max_position_embeddings: int = 514
    type_vocab_size: int = 2
    position_embedding_type: str = "relative_key"
    word_vector_size: int | None = None

    @staticmethod
    def of(config: Any) -> "Sizes":
        """The sizes in a configuration, or the defaults for None. Raises ``ValueError`` for one without them."""
        if config is not None and not all(hasattr(config, name) for name in Sizes._fields):
            raise ValueError(
                f"'config' must be a FlexiBERTConfig, with {', '.join(Sizes._fields)}. Got {type(config).__name__}"
            )
        return Sizes() if config is None else Sizes(*(getattr(config, name) for name in Sizes._fields))


class Axis(NamedTuple):
    """One axis of a parameter: ``blocks`` pieces of ``size``."""

    kind: str
    size: int
    blocks: int = 1
    space: str = ""

    @property
    def length(self) -> int:
        return self.size * self.blocks


class Parameter(NamedTuple):
    """One parameter.

    Attributes:
        name: as in the network, below what it is a parameter of.
        axes: one per dimension; of a matrix, the axis that is written first, then the one that is read.
        role: its name without the counter that parameters of single heads carry.
        head: the place of the head it belongs to; None for those of a whole layer.
        is_diagonal: whether it multiplies each entry of a vector by itself (LayerNorm weights, depthwise kernels), as
            a diagonal matrix would.
        is_bilinear: whether it compares two vectors: x W y, with both axes read.
    """

    name: str
    axes: tuple[Axis, ...]
    role: str
    head: int | None = None
    is_diagonal: bool = False
    is_bilinear: bool = False

    @property
    def numel(self) -> int:
        return prod(axis.length for axis in self.axes)


class Flops(NamedTuple):
    """Work of a part of a network.

    Attributes:
        products: multiply-adds of matrix products and convolutions.
        other: single operations of the rest that is counted, such as Fourier transforms.
    """

    products: int = 0
    other: int = 0

    def plus(self, other: "Flops") -> "Flops":
        """The work of both."""
        return Flops(self.products + other.products, self.other + other.other)


def plain(name: str, *axes: Axis) -> Parameter:
    """A parameter that is called what it does."""
    return Parameter(name, axes, name)


def diagonal(name: str, *axes: Axis) -> Parameter:
    """A parameter that multiplies each entry by itself."""
    return Parameter(name, axes, name, is_diagonal=True)


def linear(name: str, written: Axis, read: Axis) -> list[Parameter]:
    """Weight and bias of a Linear."""
    return [plain(f"{name}.weight", written, read), plain(f"{name}.bias", written)]


def norm(name: str, axis: Axis) -> list[Parameter]:
    """Weight and bias of a LayerNorm."""
    return [diagonal(f"{name}.weight", axis), plain(f"{name}.bias", axis)]


def distance_table(head_size: int, sizes: Sizes) -> list[Parameter]:
    """The vectors of relative positions; none with absolute positions."""
    if sizes.position_embedding_type == "absolute":
        return []
    table = Axis("fixed", 2 * sizes.max_position_embeddings - 1)
    return [plain("attention.self.distance_embedding.weight", table, Axis("head", head_size, space="key"))]
