"""The heads that a layer of one shape may have together, counted and numbered without listing them.

In the standard format all are of one kind. In the hetero format each is of a kind of its own; as their order does not
matter to a graph, they are a multiset of kinds, numbered by the combinatorial number system (Knuth, The Art of
Computer Programming 4A, section 7.2.1.3): numbers ``a_1 <= ... <= a_n`` of kinds are ``b_i = a_i + i - 1``, all
different, and these the number ``comb(b_1, 1) + ... + comb(b_n, n)``.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb

from .spec import Head


@dataclass(frozen=True)
class HeadChoices:
    """``num_heads`` heads of one kind, or with ``heterogeneous`` of any kinds; written in the order of ``kinds``."""

    kinds: tuple[Head, ...]
    num_heads: int
    heterogeneous: bool

    @cached_property
    def size(self) -> int:
        kinds = len(self.kinds)
        return comb(kinds + self.num_heads - 1, self.num_heads) if self.heterogeneous else kinds

    def heads(self, index: int) -> tuple[Head, ...]:
        """Choice number ``index`` in ``range(size)``."""
        if not self.heterogeneous:
            return (self.kinds[index],) * self.num_heads
        chosen = []
        for i in range(self.num_heads, 0, -1):
            b = bisect_right(range(len(self.kinds) + i - 1), index, key=lambda b, i=i: comb(b, i)) - 1  # type: ignore[misc]
            index -= comb(b, i)
            chosen.append(self.kinds[b - i + 1])
        return tuple(reversed(chosen))

    def index(self, heads: Sequence[Head]) -> int | None:
        """The number of heads in any order; None when they are not among the choices."""
        if not self.heterogeneous:
            return self._numbers.get(heads[0]) if heads.count(heads[0]) == self.num_heads == len(heads) else None
        if len(heads) != self.num_heads or not self._numbers.keys() >= set(heads):
            return None
        numbers = sorted(self._numbers[head] for head in heads)
        return sum(comb(number + i, i + 1) for i, number in enumerate(numbers))

    def near(self, heads: Sequence[Head]) -> list[tuple[Head, ...]]:
        """Choices with all heads of another kind, or with ``heterogeneous`` one of them."""
        if not self.heterogeneous:
            return [(kind,) * self.num_heads for kind in self.kinds if kind != heads[0]]
        places = {head: place for place, head in enumerate(heads)}.values()
        return [
            (*heads[:place], kind, *heads[place + 1 :])
            for place in places
            for kind in self.kinds
            if kind != heads[place]
        ]

    def like(self, heads: Sequence[Head]) -> tuple[Head, ...] | None:
        """The operations of heads of another number or size, in proportion; None when one is not among the kinds."""
        named = {(kind.operation, kind.parameter): kind for kind in self.kinds}
        sources = [heads[place * len(heads) // self.num_heads] for place in range(self.num_heads)]
        names = [(head.operation, head.parameter) for head in sources]
        return tuple(named[name] for name in names) if named.keys() >= set(names) else None

    @cached_property
    def _numbers(self) -> dict[Head, int]:
        return {kind: number for number, kind in enumerate(self.kinds)}
