"""What may stay of each layer of a root, and how it is written as a spec.

What stays of a layer is an *item* (``subsequences.py``): the layer's residual width, of each kind of head the number,
and the feed-forward widths. Heads keep their size; neurons stay in multiples of ``neuron_multiple``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise, product

from ..operations import operation_named
from ..spec import Head, Layer, ModelSpec
from .subsequences import Item, Product, axis

HIDDEN_SIZE, HEADS, FEED_FORWARD = 0, 1, 2
"""Axes of an item; further feed-forward widths follow."""


def part_of(root: ModelSpec, layers: Sequence[Layer]) -> ModelSpec:
    """The spec of some layers, each a part of one of ``root``'s: standard where the root is and all layers can be
    written so, else hetero."""
    is_standard = root.format == "standard" and all(layer.is_uniform for layer in layers)
    return ModelSpec(tuple(layers), "standard" if is_standard else "hetero")


def has_removable_heads(spec: ModelSpec) -> bool:
    """Whether heads can be removed one by one: in the hetero format, and from attention layers only."""
    return spec.format == "hetero" or all(
        operation_named(layer.heads[0].operation).has_independent_heads for layer in spec.layers
    )


def neuron_multiple(width: int) -> int:
    """Neurons are removed in groups of this size, which matrix products like: 32 in wide layers, else 8, else 1."""
    return 32 if width >= 512 else 8 if width >= 64 else 1


def in_groups(width: int, number: int) -> int:
    """How many of so many neurons (or channels) that number of groups are: one group at least, and at most all."""
    return min(width, max(1, number) * neuron_multiple(width))


@dataclass(frozen=True)
class Parts:
    """The parts of the layers of ``root``, by place."""

    root: ModelSpec

    @cached_property
    def has_removable_heads(self) -> bool:
        return has_removable_heads(self.root)

    @cached_property
    def kinds(self) -> dict[Head, int]:
        """Different heads in the order of their names, as in graphs, with their numbers."""
        return axis(sorted({head for layer in self.root.layers for head in layer.heads}, key=str))

    @cached_property
    def whole(self) -> tuple[Item, ...]:
        """All of each layer."""
        return tuple(item for layer in self.root.layers if (item := self.item(layer)) is not None)

    @cached_property
    def products(self) -> tuple[Product, ...]:
        """The items of each layer; numbers of neurons ascend."""
        return tuple(self._product(item) for item in self.whole)

    def item(self, layer: Layer) -> Item | None:
        """Of a layer, whether or not it is a part of the root's; None where it has other kinds of heads."""
        counts = [0] * len(self.kinds)
        for head in layer.heads:
            if head not in self.kinds:
                return None
            counts[self.kinds[head]] += 1
        return layer.hidden_size, tuple(counts), *layer.feed_forward

    def layer(self, item: Item) -> Layer:
        """The inverse of ``item``: heads in the order of their kinds."""
        hidden_size, counts, *widths = item
        heads = (head for head, count in zip(self.kinds, counts, strict=True) for _ in range(count))
        return _layer(hidden_size, tuple(heads), tuple(widths))

    def share(self, place: int, heads: float, first: float, neurons: float) -> Item:
        """About these shares of a layer's heads and neurons, one of each at least; in the order of their kinds, the
        heads from the ``first`` share on."""
        hidden_size, counts, *widths = self.whole[place]
        owned = [kind for kind, count in enumerate(counts) for _ in range(count)]
        left = max(1, round(heads * len(owned))) if self.has_removable_heads else len(owned)
        start = int(first * len(owned))
        stay = [owned[(start + number) % len(owned)] for number in range(left)]
        kept = [in_groups(width, round(neurons * width / neuron_multiple(width))) for width in widths]
        return hidden_size, tuple(stay.count(kind) for kind in range(len(counts))), *kept

    def weights(self, place: int, hidden_size: int, heads: float, neurons: float) -> float:
        """About how many weights the linears of such shares of a layer have. Heads of any operation count as those of
        attention; ``hidden_size`` 0 is the layer's own."""
        layer = self.root.layers[place]
        hidden_size = hidden_size or layer.hidden_size
        number = max(heads * len(layer.heads), 1) if self.has_removable_heads else len(layer.heads)
        chain = [hidden_size, *(max(neurons * width, in_groups(width, 1)) for width in layer.feed_forward), hidden_size]
        return 4 * hidden_size * layer.head_size * number + sum(a * b for a, b in pairwise(chain))

    def _product(self, whole: Item) -> Product:
        hidden_size, counts, *widths = whole
        heads = [counts]
        if self.has_removable_heads:
            heads = list(product(*(range(count + 1) for count in counts)))[1:]
        groups = [math.ceil(width / neuron_multiple(width)) for width in widths]
        kept = [
            [in_groups(width, number) for number in range(1, most + 1)]
            for width, most in zip(widths, groups, strict=True)
        ]
        return axis([hidden_size]), axis(heads), *map(axis, kept)


@lru_cache(maxsize=65_536)
def _layer(hidden_size: int, heads: tuple[Head, ...], feed_forward: tuple[int, ...]) -> Layer:
    return Layer(hidden_size, heads, feed_forward)
