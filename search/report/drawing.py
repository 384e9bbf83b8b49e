"""An architecture as a picture of its layers: a square for each head, a bar for each feed-forward layer, in proportion
to the widest of all that stand beside each other.
"""

from dataclasses import dataclass
from itertools import groupby

from design_space import ModelSpec, operations

_MOST_HEADS, _MOST_ROWS = 16, 48


@dataclass(frozen=True)
class DrawnLayer:
    """A row of the picture: one layer, or several equal ones.

    Attributes:
        first, last: of which layers.
        heads: the operation of each, by its number; of too many none, and ``num_heads`` is told.
        feed_forward: its layers, as sizes and in percent of the widest.
    """

    first: int
    last: int
    hidden: int
    heads: tuple[int, ...]
    num_heads: int
    feed_forward: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Drawing:
    """The rows, the operations that occur (number, name and meaning), and how many rows are left out."""

    layers: list[DrawnLayer]
    operations: list[tuple[int, str, str]]
    num_left_out: int

    def letter(self, number: int) -> str:
        """What a head's square says: nothing where all do the same."""
        return next(name for one, name, _ in self.operations if one == number)[0] if len(self.operations) > 1 else ""


def drawing(spec: ModelSpec, beside: ModelSpec | None) -> Drawing:
    """Draws an architecture, to the scale of what stands beside it."""
    numbers = {operation.name: number for number, operation in enumerate(operations())}
    widest = max(max(layer.feed_forward) for one in (spec, beside) if one is not None for layer in one.layers)
    rows = []
    for layer, group in groupby(enumerate(spec.layers, start=1), key=lambda pair: pair[1]):
        places = [place for place, _ in group]
        kinds = tuple(numbers[head.operation] for head in layer.heads)
        rows.append(
            DrawnLayer(
                first=places[0],
                last=places[-1],
                hidden=layer.hidden_size,
                heads=kinds if len(kinds) <= _MOST_HEADS else (),
                num_heads=len(kinds),
                feed_forward=tuple((size, 100.0 * size / widest) for size in layer.feed_forward),
            )
        )
    present = {numbers[head.operation] for layer in spec.layers for head in layer.heads}
    known = [(number, one.name, one.meaning) for number, one in enumerate(operations()) if number in present]
    return Drawing(rows[:_MOST_ROWS], known, max(0, len(rows) - _MOST_ROWS))


def sizes_beside(spec: ModelSpec, other: ModelSpec) -> str:
    """How large an architecture is beside another one, in words."""
    pairs = zip(("layers", "heads", "feed-forward width in all"), _sizes(spec), _sizes(other), strict=True)
    return ", ".join(f"{own:,} {what} instead of {others:,}" for what, own, others in pairs)


def _sizes(spec: ModelSpec) -> tuple[int, int, int]:
    heads = sum(len(layer.heads) for layer in spec.layers)
    return len(spec.layers), heads, sum(sum(layer.feed_forward) for layer in spec.layers)
