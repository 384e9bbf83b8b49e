"""The architectures that a larger one holds: some of its layers, of these some heads and neurons, and of the residual
stream some channels. Counted, numbered and sampled without listing them.

They are what pruning makes of a trained root, whatever its weights are: a spec says how much of each layer stays, and
importance says later which layers, heads and neurons these are.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..level import distinct
from ..spec import ModelSpec
from .mutations import changed
from .parts import HIDDEN_SIZE, Parts, has_removable_heads, in_groups, neuron_multiple, part_of
from .points import GENERAL, OF_LAYER, items_at
from .subsequences import Item, Subsequences

if TYPE_CHECKING:
    from numpy.random import Generator

NARROWINGS = (1.0, 0.75, 0.5)
"""Residual widths, as shares of the root's."""

_CHANGE_WIDTH = 0.1
_TRIES = 20


@dataclass(frozen=True)
class Subarchitectures:
    """All parts of ``root`` with at least one layer, and in every layer one head and one group of neurons.

    A spec is a member when its layers, in order, can be found in some of the root's layers: with heads of the same
    operations, parameters and size, at most as many of each, and feed-forward widths that are multiples of the
    ``neuron_multiple`` of the root's, or all of it. Equal specs are one member, whichever of the root's layers they
    can be found in: ``size`` counts specs, also where the root's layers differ. A root in the standard format has
    members in this format as far as they can be written in it (``part_of``); a hetero one has hetero members.

    The residual stream is narrower in all layers or in none, and only where the root has one width and heads can be
    removed one by one. Where they cannot (``has_removable_heads``), every layer keeps all heads.

    Attributes:
        root: the whole architecture, not a grouped one.
        hidden_sizes: the residual widths of members; where none are given, 1, 3/4 and 1/2 of the root's (in multiples
            of its ``neuron_multiple``), or those of its layers if there can be no others.

    Raises:
        ValueError: when built of a grouped architecture, or with widths that no member can have.

    Example:
        >>> members = Subarchitectures(ModelSpec.homogeneous(6, 384, 12, 1536))
        >>> members.root in members, len(members.sample(10, seed=0))
        (True, 10)
    """

    root: ModelSpec
    hidden_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.root.groups:
            raise ValueError(
                f"'root' must be a single architecture. Got {len(self.root.groups)} groups; take one of them"
            )
        if self.hidden_sizes and not self._can_narrow:
            raise ValueError(
                "'hidden_sizes' must be left out where the root has several widths, or standard layers whose heads "
                f"belong together. Got {self.hidden_sizes}"
            )
        width = self.root.layers[0].hidden_size
        if not set(self.hidden_sizes) <= set(range(1, width + 1)):
            raise ValueError(
                f"'hidden_sizes' must be whole numbers from 1 to the root's {width}. Got {self.hidden_sizes}"
            )

    @property
    def num_layers(self) -> int:
        """Of the deepest member."""
        return len(self.root.layers)

    @cached_property
    def size(self) -> int:
        """Number of members, exact."""
        return len(self._widths) * self._sequences.size

    def spec(self, index: int) -> ModelSpec:
        """Member number ``index``. Raises ``ValueError`` outside ``range(size)``."""
        if not 0 <= index < self.size:
            raise ValueError(f"'index' must be in range({self.size}). Got {index}")
        number, index = divmod(index, self._sequences.size)
        return self._written(self._widths[number], self._sequences.items(index))

    def index(self, spec: ModelSpec) -> int:
        """The inverse of ``spec``, for heads in any order. Raises ``ValueError`` when it is not a member."""
        width, items = self._read(spec)
        place = self._sequences.index(items)
        if place is None:
            raise ValueError(f"Not a part of the root {self.root.to_dict()}: {spec.to_dict()}")
        return self._widths.index(width) * self._sequences.size + place

    def __contains__(self, spec: ModelSpec) -> bool:
        return bool(self._sequences.leftmost(self._read(spec)[1]))

    @property
    def smallest(self) -> ModelSpec:
        """The member of fewest weights: one layer, as narrow as can be, with one head (or all, where they belong
        together) and one group of neurons."""
        width = min(self._widths)
        places = range(len(self.root.layers))
        place = min(places, key=lambda place: self._parts.weights(place, width, 0, 0))
        return self._written(width, [self._parts.share(place, 0, 0, 0)])

    def sample(self, num_specs: int, *, seed: int) -> list[ModelSpec]:
        """``num_specs`` different members of all sizes (see ``stream``).

        Raises:
            ValueError: when there are fewer members than that.
        """
        if num_specs > self.size:
            raise ValueError(f"'num_specs' must be at most the number of architectures {self.size}. Got {num_specs}")
        return list(self.stream(seed=seed, limit=num_specs))

    def stream(self, *, seed: int, limit: int) -> Iterator[ModelSpec]:
        """Up to ``limit`` different members in random order: those at random points, so of all sizes, and any others
        where these are drawn already."""
        rng = random.Random(seed)
        points = iter(lambda: [rng.random() for _ in range(self.num_coordinates)], None)
        return distinct(map(self.at, points), self.spec, self.size, rng, limit)

    @property
    def num_coordinates(self) -> int:
        """Of points."""
        return GENERAL + OF_LAYER * self.num_layers

    def at(self, point: Sequence[float]) -> ModelSpec:
        """The member at a point (num_coordinates,) of the unit cube: the first coordinate is the share of the root's
        weights that stays, the others are where they stay (``points.py``)."""
        return self._written(*items_at(self._parts, self._widths, point))

    def mutated(self, spec: ModelSpec, rng: "Generator") -> ModelSpec:
        """A member that differs little (``mutations.py``), sometimes in the residual width. Of a stranger, a member at
        random."""
        if spec not in self:
            return self.at(rng.random(self.num_coordinates).tolist())
        width, items = self._read(spec)
        for _ in range(_TRIES):
            if rng.random() < _CHANGE_WIDTH:
                other = self._widths[int(rng.integers(len(self._widths)))], items
            else:
                other = width, changed(self._parts, self._sequences, items, rng)
            if other != (width, items):
                return self._written(*other)
        return spec

    @cached_property
    def _can_narrow(self) -> bool:
        return has_removable_heads(self.root) and len({layer.hidden_size for layer in self.root.layers}) == 1

    @cached_property
    def _widths(self) -> tuple[int, ...]:
        """The residual widths; 0 for those of the root's layers."""
        width = self.root.layers[0].hidden_size
        shares = [in_groups(width, int(share * width / neuron_multiple(width))) for share in NARROWINGS]
        return self.hidden_sizes or (tuple(dict.fromkeys(shares)) if self._can_narrow else (0,))

    @cached_property
    def _parts(self) -> Parts:
        return Parts(self.root)

    @cached_property
    def _sequences(self) -> Subsequences:
        return Subsequences(self._parts.products)

    def _read(self, spec: ModelSpec) -> tuple[int, list[Item]]:
        """The residual width, and the items of the layers as wide as the root's; none where these cannot be a
        member's in any order."""
        width = spec.layers[0].hidden_size if self._can_narrow else 0
        items = [self._parts.item(layer) for layer in spec.layers]
        if spec.format != part_of(self.root, spec.layers).format or width not in self._widths:
            return width, []
        if any(item is None or (width and item[HIDDEN_SIZE] != width) for item in items):
            return width, []
        own = self.root.layers[0].hidden_size
        return width, [(own, *item[HIDDEN_SIZE + 1 :]) if width else item for item in items if item is not None]

    def _written(self, width: int, items: Sequence[Item]) -> ModelSpec:
        """The inverse of ``_read``."""
        wide = [(width, *item[HIDDEN_SIZE + 1 :]) if width else item for item in items]
        return part_of(self.root, [self._parts.layer(item) for item in wide])
