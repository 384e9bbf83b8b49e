"""The choices of one stack: every layer it may consist of, as a mixed-radix number system.

A stack is ``layers_per_stack`` equal layers, so a choice of a stack is a choice of one ``Layer``. Choice number ``i``
is read as digits (hidden size and heads, operation and parameter, feed-forward stack), the last digit running
fastest. Nothing is listed.
"""

from dataclasses import dataclass
from functools import cached_property

from .spec import Head, Layer

MOST_KNOWN = 65_536
"""Layers of a stack's choices that are kept, not made again."""


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
        shapes: pairs (hidden size, number of heads); heads divide the hidden size.
        operations: pairs (operation, parameter).
        feed_forward: the feed-forward stacks.
    """

    shapes: tuple[tuple[int, int], ...]
    operations: tuple[tuple[str, str | int], ...]
    feed_forward: FeedForwardChoices

    @cached_property
    def size(self) -> int:
        return len(self.shapes) * len(self.operations) * self.feed_forward.size

    def layer(self, index: int) -> Layer:
        """Layer number ``index`` in ``range(size)``."""
        known = self._known_layers.get(index)
        if known is None:
            if len(self._known_layers) >= MOST_KNOWN:
                self._known_layers.clear()
            known = self._known_layers[index] = self._layer(index)
        return known

    @cached_property
    def _known_layers(self) -> dict[int, Layer]:
        return {}

    def _layer(self, index: int) -> Layer:
        rest, feed_forward = divmod(index, self.feed_forward.size)
        shape, operation = divmod(rest, len(self.operations))
        hidden_size, num_heads = self.shapes[shape]
        head = Head(*self.operations[operation], hidden_size // num_heads)
        return Layer(hidden_size, (head,) * num_heads, self.feed_forward.stack(feed_forward))

    def index(self, layer: Layer) -> int | None:
        """The inverse of ``layer``; None when it is not among the choices."""
        head, shape = layer.heads[0], (layer.hidden_size, len(layer.heads))
        operation = (head.operation, head.parameter)
        feed_forward = self.feed_forward.index(layer.feed_forward)
        if feed_forward is None or shape not in self.shapes or operation not in self.operations or not layer.is_uniform:
            return None
        place = self.shapes.index(shape) * len(self.operations) + self.operations.index(operation)
        return place * self.feed_forward.size + feed_forward

    def near(self, layer: Layer) -> list[Layer]:
        """Layers that differ in one respect: shape, operation, or the feed-forward stack (see its ``near``)."""
        place = self.index(layer)
        assert place is not None, "no layer of this stack"
        rest, feed_forward = divmod(place, self.feed_forward.size)
        shape, operation = divmod(rest, len(self.operations))
        stacks = [self.feed_forward.index(stack) for stack in self.feed_forward.near(layer.feed_forward)]
        digits = [(other, operation, feed_forward) for other in range(len(self.shapes)) if other != shape]
        digits += [(shape, other, feed_forward) for other in range(len(self.operations)) if other != operation]
        digits += [(shape, operation, other) for other in stacks if other is not None]
        return [self.layer((i * len(self.operations) + j) * self.feed_forward.size + k) for i, j, k in digits]
