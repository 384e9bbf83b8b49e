"""Points of the unit cube as parts of a root, so that evenly spread points have all sizes.

Of members at random nearly all have half of the heads and neurons. Here the first coordinate is the share of the
root's weights that stays, from 1 down to ``LEAST_SHARE`` evenly in its logarithm; the others say where it is taken
from. Second and third are the depth and the residual width, among those that can hold that share. Then come, per layer
of the root: its rank, by which layers are kept; how much of the heads goes (less than of other parts below 1/2, more
above); with which head those that stay begin; how much of the neurons goes.
"""

from collections.abc import Callable, Sequence

from .parts import Parts
from .subsequences import Item

LEAST_SHARE = 1 / 64
GENERAL, OF_LAYER = 3, 4
"""Coordinates: of all together, and of each layer."""

_LEAST_POWER = 1 / 4
_STEPS = 14  # of a bisection
_EXACT = 1 + 1e-9


def items_at(parts: Parts, hidden_sizes: Sequence[int], point: Sequence[float]) -> tuple[int, list[Item]]:
    """The residual width, and what stays of the layers that do.

    Args:
        parts: of L layers.
        hidden_sizes: the residual widths to choose from; 0 is that of each layer.
        point: (3 + 4 L,) in [0, 1).
    """
    places = range(len(parts.whole))
    ranks, heads, firsts, neurons = (point[GENERAL + number :: OF_LAYER] for number in range(OF_LAYER))
    order = sorted(places, key=lambda place: -ranks[place])
    least = [parts.weights(place, min(hidden_sizes), 0, 0) for place in order]

    def most(depth: int, hidden_size: int) -> float:
        return sum(parts.weights(place, hidden_size, 1, 1) for place in order[:depth])

    whole = most(len(places), max(hidden_sizes))
    target = whole * max(LEAST_SHARE, min(least) / whole) ** point[0]
    depths = [
        depth
        for depth in range(1, len(places) + 1)
        if sum(least[:depth]) <= target <= most(depth, max(hidden_sizes)) * _EXACT
    ]
    depth = _picked(depths or [1], point[1])
    wide = [hidden_size for hidden_size in hidden_sizes if target <= most(depth, hidden_size) * _EXACT]
    hidden_size = _picked(wide or [max(hidden_sizes)], point[2])

    kept = sorted(order[:depth])
    powers = [(_power(heads[place]), _power(neurons[place])) for place in kept]

    def is_within(level: float) -> bool:
        sizes = (
            parts.weights(place, hidden_size, level**of_heads, level**of_neurons)
            for place, (of_heads, of_neurons) in zip(kept, powers, strict=True)
        )
        return sum(sizes) <= target

    level = largest_share(is_within, steps=_STEPS)
    items = [
        parts.share(place, level**of_heads, firsts[place], level**of_neurons)
        for place, (of_heads, of_neurons) in zip(kept, powers, strict=True)
    ]
    return hidden_size, items


def _power(share: float) -> float:
    """From 1/4 to 4, which of a share between 0 and 1 makes more or less."""
    return _LEAST_POWER ** (1 - 2 * share)


def _picked(options: Sequence[int], share: float) -> int:
    return options[min(int(share * len(options)), len(options) - 1)]


def largest_share(is_within: Callable[[float], bool], *, steps: int = 40) -> float:
    """The largest share that is within, to the precision of so many steps of a bisection; sizes grow with shares."""
    if is_within(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if is_within(middle) else (low, middle)
    return low
