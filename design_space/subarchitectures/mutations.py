"""Small changes of a part of a root: heads and neurons of a layer, exchanges between layers, layers more or fewer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .parts import FEED_FORWARD, HEADS, Parts
from .subsequences import Item, Subsequences

if TYPE_CHECKING:
    from numpy.random import Generator

_CHANGE_DEPTH = 0.1
_EXCHANGE = 0.5


def changed(parts: Parts, sequences: Subsequences, items: Sequence[Item], rng: "Generator") -> list[Item]:
    """Heads or neurons of one layer more or fewer, in half of all cases in exchange for some elsewhere, or sometimes a
    layer more or less; unchanged where what is drawn cannot be."""
    if rng.random() < _CHANGE_DEPTH:
        return _of_other_depth(parts, sequences, items, rng)
    sign = 1 if rng.random() < 0.5 else -1
    moved = _moved(parts, sequences, items, sign, rng)
    return _moved(parts, sequences, moved, -sign, rng) if rng.random() < _EXCHANGE else moved


def _moved(parts: Parts, sequences: Subsequences, items: Sequence[Item], sign: int, rng: "Generator") -> list[Item]:
    """Heads or neurons of one layer more (``sign`` 1) or fewer (-1)."""
    number, split = int(rng.integers(len(items))), int(rng.integers(len(items) + 1))
    place = _places(sequences, items, split)[number]
    item = list(items[number])
    part = int(rng.integers(HEADS, len(item)))
    if part == HEADS:
        whole, counts = parts.whole[place][HEADS], list(item[HEADS])
        rest = [most - count for most, count in zip(whole, counts, strict=True)] if sign > 0 else counts
        movable = [kind for kind, count in enumerate(rest) for _ in range(count)]
        room = len(movable) - (sign < 0) if parts.has_removable_heads else 0
        for kind in rng.permutation(movable)[: _few(room, rng)].tolist():
            counts[kind] += sign
        item[HEADS] = tuple(counts)
    else:
        widths = list(sequences.places[place][part])
        now = widths.index(item[part])
        item[part] = widths[now + sign * _few(len(widths) - 1 - now if sign > 0 else now, rng)]
    return [*items[:number], tuple(item), *items[number + 1 :]]


def _of_other_depth(parts: Parts, sequences: Subsequences, items: Sequence[Item], rng: "Generator") -> list[Item]:
    """A layer fewer, or, where there is room, one more with the shares of one beside it."""
    split = int(rng.integers(len(items) + 1))
    if rng.random() < 0.5:
        return [*items[:split], *items[split + 1 :]] or list(items)
    places = _places(sequences, items, split)
    free = range(places[split - 1] + 1 if split else 0, [*places, len(parts.whole)][split])
    if not free:
        return list(items)
    beside = min(max(split - int(rng.integers(2)), 0), len(items) - 1)
    like, whole = items[beside], parts.whole[places[beside]]
    heads = sum(like[HEADS]) / sum(whole[HEADS])
    neurons = sum(like[FEED_FORWARD:]) / sum(whole[FEED_FORWARD:])
    added = parts.share(free[int(rng.integers(len(free)))], heads, rng.random(), neurons)
    return [*items[:split], added, *items[split:]]


def _places(sequences: Subsequences, items: Sequence[Item], split: int) -> list[int]:
    """Layers of the root in which those of a member can be found: the first ones up to a split, the last ones from
    there."""
    first, last = sequences.leftmost(items), sequences.rightmost(items)
    return (first or [])[:split] + (last or [])[split:]


def _few(room: int, rng: "Generator") -> int:
    """How many of at most ``room``; most often few."""
    return min(room, 1 + int(room * rng.random() ** 3))
