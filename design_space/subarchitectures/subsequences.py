"""Sequences of items that fit, in order, into some of given places, counted and numbered without listing them.

What fits at a place is a *product*: an item is a tuple with one value per axis, each among the axis' values. One
sequence may fit in several ways. Leftmost means that every item stands at the first place, after the one of the item
before, at which it fits: each sequence has exactly one such way. So sequences are the paths of an automaton whose step
from a place to a later one takes what fits there and at no place between (the subsequence automaton; Baeza-Yates,
Theoretical Computer Science 78, 1991), and paths are counted by dynamic programming. What fits at one place and not at
others is a union of disjoint products.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

Item = tuple[Any, ...]
Product = tuple[dict[Any, int], ...]
"""Per axis its values, each with its number."""

Step = tuple[int, int]
"""A place (-1: none yet), and the next one."""


@dataclass(frozen=True)
class Subsequences:
    """All sequences of one or more items that fit, shorter ones first."""

    places: tuple[Product, ...]

    @cached_property
    def size(self) -> int:
        """Number of sequences, exact."""
        return sum(continuations[-1] for continuations in self._continuations[1:])

    def items(self, index: int) -> list[Item]:
        """Sequence number ``index`` in ``range(size)``."""
        length = 1
        while index >= self._continuations[length][-1]:
            index -= self._continuations[length][-1]
            length += 1
        found: list[Item] = []
        before = -1
        for left in reversed(range(length)):
            for place in range(before + 1, len(self.places)):
                number = self._num_fresh(before, place) * self._continuations[left][place]
                if index < number:
                    break
                index -= number
            number, index = divmod(index, self._continuations[left][place])
            found.append(_item(self._fresh.get((before, place), ()), number))
            before = place
        return found

    def index(self, items: Sequence[Item]) -> int | None:
        """The inverse of ``items``; None for a sequence that does not fit."""
        places = self.leftmost(items)
        if not places:
            return None
        found, before = sum(continuations[-1] for continuations in self._continuations[1 : len(items)]), -1
        for left, item, place in zip(reversed(range(len(items))), items, places, strict=True):
            found += sum(
                self._num_fresh(before, other) * self._continuations[left][other] for other in range(before + 1, place)
            )
            found += _number(self._fresh[before, place], item) * self._continuations[left][place]
            before = place
        return found

    def leftmost(self, items: Sequence[Item]) -> list[int] | None:
        """The first places at which the items fit one after the other; None where they do not."""
        return _first_places(items, range(len(self.places)), self.places)

    def rightmost(self, items: Sequence[Item]) -> list[int] | None:
        """The last places at which they fit."""
        places = _first_places(items[::-1], range(len(self.places) - 1, -1, -1), self.places)
        return places and places[::-1]

    @cached_property
    def _fresh(self) -> dict[Step, tuple[Product, ...]]:
        """What a step takes: disjoint products; steps that take nothing are left out."""
        fresh = {}
        for place, of_place in enumerate(self.places):
            left: tuple[Product, ...] = (of_place,)
            fresh[place - 1, place] = left
            for between in reversed(range(place)):
                left = tuple(piece for one in left for piece in _without(one, self.places[between]))
                if not left:
                    break
                fresh[between - 1, place] = left
        return fresh

    @cached_property
    def _continuations(self) -> list[list[int]]:
        """Per number of items, and per place of the item before (the last entry: none), in how many ways they may
        follow."""
        places = len(self.places)
        counts = [[1] * (places + 1)]
        for _ in range(places):
            known = counts[-1]
            counts.append(
                [
                    sum(self._num_fresh(before, place) * known[place] for place in range(before + 1, places))
                    for before in [*range(places), -1]
                ]
            )
        return counts

    def _num_fresh(self, before: int, place: int) -> int:
        return sum(map(_size, self._fresh.get((before, place), ())))


def has_item(product: Product, item: Item) -> bool:
    """Whether an item is of a product."""
    return len(product) == len(item) and all(value in axis for axis, value in zip(product, item, strict=True))


def axis(values: Sequence[Any]) -> dict[Any, int]:
    """Different values with their numbers."""
    return {value: number for number, value in enumerate(values)}


def _size(product: Product) -> int:
    return math.prod(map(len, product))


def _first_places(items: Sequence[Item], order: range, places: Sequence[Product]) -> list[int] | None:
    found: list[int] = []
    free = iter(order)
    for item in items:
        place = next((place for place in free if has_item(places[place], item)), None)
        if place is None:
            return None
        found.append(place)
    return found


def _item(products: Sequence[Product], number: int) -> Item:
    """Item ``number`` of a union of disjoint products, the last axis running fastest."""
    for product in products:
        if number < _size(product):
            break
        number -= _size(product)
    values = []
    for values_of_axis in reversed(product):
        number, digit = divmod(number, len(values_of_axis))
        values.append(next(islice(values_of_axis, digit, None)))
    return tuple(reversed(values))


def _number(products: Sequence[Product], item: Item) -> int:
    """The inverse of ``_item``."""
    before = 0
    for product in products:
        if has_item(product, item):
            place = 0
            for values, value in zip(product, item, strict=True):
                place = place * len(values) + values[value]
            return before + place
        before += _size(product)
    raise AssertionError("unreachable: a step takes what fits at its place and at none before")


def _without(product: Product, other: Product) -> list[Product]:
    """The items of ``product`` that are not of ``other``, as disjoint products: those that differ first in axis 0, in
    axis 1, ..."""
    shared = [[value for value in ours if value in theirs] for ours, theirs in zip(product, other, strict=False)]
    if len(product) != len(other) or not all(shared):
        return [product]
    pieces = []
    for number, ours in enumerate(product):
        if rest := [value for value in ours if value not in other[number]]:
            pieces.append((*map(axis, shared[:number]), axis(rest), *product[number + 1 :]))
    return pieces
