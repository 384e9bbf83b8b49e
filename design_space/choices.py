"""The choices of one stack: every layer it may consist of, as a mixed-radix number system.

A stack is ``layers_per_stack`` equal layers, so a choice of a stack is a choice of one ``Layer``. Choice number ``i``
is read as digits (hidden size, number and size of heads; operations and parameters; feed-forward stack), the last
digit running fastest. Nothing is listed.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, product
from typing import TYPE_CHECKING

from .head_choices import HeadChoices
from .spec import Format, Head, Layer, Shape, rule_problems

if TYPE_CHECKING:
    from numpy.random import Generator


@dataclass(frozen=True, kw_only=True)
class FeedForwardChoices:
    """Feed-forward stacks of ``counts`` layers with widths from ``widths``.

    One width repeated (the standard library), or with ``heterogeneous`` any width at any place.
    """

    counts: tuple[int, ...]
    widths: tuple[int, ...]
    heterogeneous: bool = False

    @cached_property
    def size(self) -> int:
        return sum(self._of_count(count) for count in self.counts)

    def stack(self, index: int) -> tuple[int, ...]:
        """Feed-forward stack number ``index`` in ``range(size)``."""
        for count in self.counts:
            if index < self._of_count(count):
                if not self.heterogeneous:
                    return (self.widths[index],) * count
                digits = []
                for _ in range(count):
                    index, digit = divmod(index, len(self.widths))
                    digits.append(self.widths[digit])
                return tuple(reversed(digits))
            index -= self._of_count(count)
        raise IndexError(index)

    def index(self, stack: tuple[int, ...]) -> int | None:
        """The inverse of ``stack``; None when it is not among the choices."""
        uniform = len(set(stack)) == 1
        if len(stack) not in self.counts or not set(stack) <= set(self.widths) or not (uniform or self.heterogeneous):
            return None
        before = sum(self._of_count(count) for count in self.counts[: self.counts.index(len(stack))])
        place = 0
        for width in stack if self.heterogeneous else stack[:1]:
            place = place * len(self.widths) + self.widths.index(width)
        return before + place

    def near(self, stack: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Stacks that differ in one width (in the width, where it is one repeated), or by one layer at the end."""
        if not self.heterogeneous:
            found = [(width,) * len(stack) for width in self.widths]
            found += [stack[:1] * count for count in self.counts]
        else:
            found = [(*stack[:i], width, *stack[i + 1 :]) for i in range(len(stack)) for width in self.widths]
            found += [(*stack, width) for width in self.widths if len(stack) + 1 in self.counts]
            found += [stack[:-1]] * (len(stack) - 1 in self.counts)
        return [other for other in dict.fromkeys(found) if other != stack]

    def _of_count(self, count: int) -> int:
        return len(self.widths) ** count if self.heterogeneous else len(self.widths)


@dataclass(frozen=True, kw_only=True)
class StackChoices:
    """All layers a stack may repeat.

    Attributes:
        shapes: triples (hidden size, number of heads, head size).
        operations: pairs (operation, parameter). One whose rule refuses a head size is no choice at such shapes.
        feed_forward: the feed-forward stacks.
        format: whether the heads of a layer are alike (``standard``), or each has an operation of its own (``hetero``).
    """

    shapes: tuple[Shape, ...]
    operations: tuple[tuple[str, str | int], ...]
    feed_forward: FeedForwardChoices
    format: Format = "standard"

    @cached_property
    def size(self) -> int:
        return self._before[-1] * self.feed_forward.size

    @cached_property
    def heads(self) -> dict[Shape, HeadChoices]:
        """The choices of heads at each shape. Their kinds are in the order of ``operations``; in the hetero format in
        that of their names, as in graphs, so that isomorphic layers of different spaces are equal."""
        is_hetero = self.format == "hetero"
        choices = {}
        for shape in self.shapes:
            size = shape[2]
            kinds = [Head(*names, size) for names in self.operations if not rule_problems(*names, size)]
            choices[shape] = HeadChoices(tuple(sorted(kinds, key=str) if is_hetero else kinds), shape[1], is_hetero)
        return choices

    def layer(self, index: int) -> Layer:
        """Layer number ``index`` in ``range(size)``."""
        return _layer(self, index)

    def index(self, layer: Layer) -> int | None:
        """The inverse of ``layer``, for heads in any order; None when it is not among the choices."""
        shape, feed_forward = layer.shape, self.feed_forward.index(layer.feed_forward)
        if feed_forward is None or shape not in self.heads:
            return None
        heads = self.heads[shape].index(layer.heads)
        if heads is None:
            return None
        return (self._before[self.shapes.index(shape)] + heads) * self.feed_forward.size + feed_forward

    def near(self, layer: Layer) -> list[Layer]:
        """Layers that differ in one respect: shape, operation (of one head, in the hetero format), or the feed-forward
        stack (see its ``near``)."""
        own = self.heads[layer.shape]
        mixed = [(shape, heads.like(layer.heads)) for shape, heads in self.heads.items() if shape != layer.shape]
        mixed += [(layer.shape, heads) for heads in own.near(layer.heads)]
        found = [Layer(shape[0], heads, layer.feed_forward) for shape, heads in mixed if heads is not None]
        found += [Layer(layer.hidden_size, layer.heads, stack) for stack in self.feed_forward.near(layer.feed_forward)]
        return [self.layer(place) for other in found if (place := self.index(other)) is not None]

    def crossed(self, layer: Layer, other: Layer, rng: "Generator") -> Layer:
        """``layer`` with the hidden size and heads, the operation (of one head, in the hetero format), or the
        feed-forward stack of ``other``; unchanged where that is no choice."""
        respect = int(rng.integers(3))
        if respect == 2:
            return Layer(layer.hidden_size, layer.heads, other.feed_forward)
        shape, heads = (other.shape, layer.heads) if respect == 0 else (layer.shape, other.heads)
        if respect == 1 and self.format == "hetero":
            place = int(rng.integers(len(layer.heads)))
            heads = (*layer.heads[:place], heads[int(rng.integers(len(heads)))], *layer.heads[place + 1 :])
        like = self.heads[shape].like(heads)
        return layer if like is None else Layer(shape[0], like, layer.feed_forward)

    @cached_property
    def _before(self) -> tuple[int, ...]:
        """Choices of heads at all shapes before each, and at all."""
        return tuple(accumulate((self.heads[shape].size for shape in self.shapes), initial=0))


@lru_cache(maxsize=65_536)
def _layer(choices: StackChoices, index: int) -> Layer:
    rest, feed_forward = divmod(index, choices.feed_forward.size)
    place = bisect_right(choices._before, rest) - 1
    shape = choices.shapes[place]
    heads = choices.heads[shape].heads(rest - choices._before[place])
    return Layer(shape[0], heads, choices.feed_forward.stack(feed_forward))


def shapes_of(hidden_sizes: Sequence[int], num_heads: Sequence[int], head_sizes: Sequence[int] = ()) -> list[Shape]:
    """All combinations; without head sizes, those whose heads are together as wide as the layer."""
    return [
        (hidden, heads, size)
        for hidden, heads in product(hidden_sizes, num_heads)
        for size in head_sizes or ([hidden // heads] if hidden % heads == 0 else [])
    ]
