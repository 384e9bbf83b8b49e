"""The choices of one stack: every layer it may consist of, as a mixed-radix number system.

A stack is ``layers_per_stack`` equal layers, so a choice of a stack is a choice of one ``Layer``. Choice number ``i``
is read as digits (hidden size and heads, operation and parameter, feed-forward stack), the last digit running
fastest. Nothing is listed.
"""

from dataclasses import dataclass
from functools import lru_cache

from .spec import Head, Layer


@dataclass(frozen=True, kw_only=True)
class FeedForwardChoices:
    """Feed-forward stacks of ``counts`` layers with widths from ``widths``.

    One width repeated (the standard library), or with ``heterogeneous`` any width at any place.
    """

    counts: tuple[int, ...]
    widths: tuple[int, ...]
    heterogeneous: bool = False

    @property
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

    @property
    def size(self) -> int:
        return len(self.shapes) * len(self.operations) * self.feed_forward.size

    def layer(self, index: int) -> Layer:
        """Layer number ``index`` in ``range(size)``."""
        return _layer(self, index)

    def index(self, layer: Layer) -> int | None:
        """The inverse of ``layer``; None when it is not among the choices."""
        head, shape = layer.heads[0], (layer.hidden_size, len(layer.heads))
        operation = (head.operation, head.parameter)
        feed_forward = self.feed_forward.index(layer.feed_forward)
        if feed_forward is None or shape not in self.shapes or operation not in self.operations or not layer.is_uniform:
            return None
        place = self.shapes.index(shape) * len(self.operations) + self.operations.index(operation)
        return place * self.feed_forward.size + feed_forward


@lru_cache(maxsize=65_536)
def _layer(choices: StackChoices, index: int) -> Layer:
    rest, feed_forward = divmod(index, choices.feed_forward.size)
    shape, operation = divmod(rest, len(choices.operations))
    hidden_size, num_heads = choices.shapes[shape]
    head = Head(*choices.operations[operation], hidden_size // num_heads)
    return Layer(hidden_size, (head,) * num_heads, choices.feed_forward.stack(feed_forward))
