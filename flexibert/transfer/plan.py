"""Which layers and heads of one architecture can take weights from another, and which parameters that fills.

Layers are matched in order (FlexiBERT, section 3.4). Two heads match when operation *and* parameter agree (``sdp`` and
``wma`` are different heads, and so are two kernel sizes); a layer matches when at least one head does. The transfer
stops at the first layer that does not match: what comes after it would read states that nothing produces any more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import NamedTuple

from design_space import Layer, ModelSpec

from ..cost.parameters import embedding_parameters, layer_parameters, pooler_parameters
from ..mixing.axes import Axis, Parameter, Sizes

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class TransferPlan:
    """What corresponds to what.

    Attributes:
        heads: for each matched layer, first to last, the matched heads as (place in the target, place in the source).
        is_complete: whether every layer of the target was matched.
    """

    heads: tuple[Pairs, ...]
    is_complete: bool

    @property
    def num_layers(self) -> int:
        """Layers that receive weights: the target's first ``num_layers``, from the source's."""
        return len(self.heads)


class AxisMatch(NamedTuple):
    """How one axis of a target's parameter is filled: ``pairs`` of (target block, source block)."""

    target: Axis
    source: Axis
    pairs: Pairs

    @property
    def length(self) -> int:
        """Entries of the target's axis that receive a value."""
        return len(self.pairs) * min(self.target.size, self.source.size)


class ParameterMatch(NamedTuple):
    """A parameter of the target, the source's parameter it takes values from, and how their axes correspond."""

    target: Parameter
    source: Parameter
    axes: tuple[AxisMatch, ...]

    @property
    def numel(self) -> int:
        """Entries of the target's parameter that receive a value."""
        return prod(axis.length for axis in self.axes)


def transfer_plan(source: ModelSpec, target: ModelSpec) -> TransferPlan:
    """Matches layers and heads, in order.

    Raises:
        ValueError: when the formats differ.
    """
    check_formats(source, target)
    heads = []
    for source_layer, target_layer in zip(source.layers, target.layers, strict=False):
        pairs = match_heads(source_layer, target_layer)
        if not pairs:
            break
        heads.append(pairs)
    return TransferPlan(tuple(heads), len(heads) == len(target.layers))


def check_formats(source: ModelSpec, target: ModelSpec) -> None:
    """Raises ``ValueError`` when weights cannot be transferred between models of these formats."""
    if source.groups or target.groups:
        raise ValueError("Weights of grouped (stitched) models are not transferred; stitch transferred sources instead")
    if source.format != target.format:
        raise ValueError(
            f"Weights are transferred between models of one format. Got a source in the {source.format} and a target "
            f"in the {target.format} format; write both specs in one of them"
        )


def stretch_starts(spec: ModelSpec) -> list[int]:
    """The first layer of the stretch of equally wide layers that a layer is in, for every layer."""
    starts = [0]
    for index, (before, layer) in enumerate(pairwise(spec.layers), start=1):
        starts.append(starts[-1] if layer.hidden_size == before.hidden_size else index)
    return starts


@lru_cache(maxsize=65536)
def match_heads(source: Layer, target: Layer) -> Pairs:
    """Gives each head of the target, in order, the first head of the source of its kind that is not taken yet."""
    free = list(enumerate(source.heads))
    pairs = []
    for place, head in enumerate(target.heads):
        for option in free:
            if (option[1].operation, option[1].parameter) == (head.operation, head.parameter):
                pairs.append((place, option[0]))
                free.remove(option)
                break
    return tuple(pairs)


def match_embeddings(source_width: int, target_width: int, sizes: Sizes) -> Iterator[ParameterMatch]:
    """The embeddings' parameters."""
    return _match_in_order(embedding_parameters(source_width, sizes), embedding_parameters(target_width, sizes))


def match_poolers(source_width: int, target_width: int) -> Iterator[ParameterMatch]:
    """The pooler's parameters."""
    return _match_in_order(pooler_parameters(source_width), pooler_parameters(target_width))


def match_layers(
    source: Layer, target: Layer, source_next: int, target_next: int, is_hetero: bool, sizes: Sizes
) -> Iterator[ParameterMatch]:
    """The parameters of a matched layer that receive values; their names start below ``encoder.layer.{i}.``."""
    pairs = match_heads(source, target)
    source_of = dict(pairs)
    available = {(p.role, p.head): p for p in layer_parameters(source, source_next, is_hetero, sizes)}
    for parameter in layer_parameters(target, target_next, is_hetero, sizes):
        head = None if parameter.head is None else source_of.get(parameter.head, -1)
        found = available.get((parameter.role, head))
        if found is None:
            continue
        axes = tuple(match_axis(s, t, pairs) for s, t in zip(found.axes, parameter.axes, strict=True))
        if all(axis.pairs for axis in axes):
            yield ParameterMatch(parameter, found, axes)


def _match_in_order(source: list[Parameter], target: list[Parameter]) -> Iterator[ParameterMatch]:
    for s, t in zip(source, target, strict=True):
        yield ParameterMatch(t, s, tuple(match_axis(a, b, ()) for a, b in zip(s.axes, t.axes, strict=True)))


def match_axis(source: Axis, target: Axis, head_pairs: Pairs) -> AxisMatch:
    """How an axis is filled: heads by the matched pairs, the two halves of a convolution layer each in order, other
    axes whole."""
    if target.kind == "heads":
        return AxisMatch(target, source, head_pairs)
    whole = _in_order(source.blocks, target.blocks)
    if target.kind == "split":
        halves = source.blocks // 2, target.blocks // 2
        convolving = _in_order(source.blocks - halves[0], target.blocks - halves[1])
        whole = _in_order(*halves) + tuple((halves[1] + i, halves[0] + j) for i, j in convolving)
    return AxisMatch(target, source, whole)


def _in_order(source_blocks: int, target_blocks: int) -> Pairs:
    return tuple((i, i) for i in range(min(source_blocks, target_blocks)))
