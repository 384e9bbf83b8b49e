"""A level of the hierarchy: a union of product spaces of stacks, counted, indexed and sampled without listing it.

A *branch* fixes the number of stacks and the choices of each; its members are all combinations. The first level has
one branch per depth (``DesignSpace``); a next level has one per pair of parents (``next_level``), and its branches
may overlap.
"""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .choices import StackChoices
from .spec import Format, Layer, ModelSpec

if TYPE_CHECKING:
    from numpy.random import Generator

Branch = tuple[StackChoices, ...]

_CHANGE_DEPTH = 0.1
_ANEW = 0.3
_TRIES = 20


@dataclass(frozen=True)
class Level:
    """A union of branches.

    Attributes:
        branches: each a tuple of ``StackChoices``, one per stack.
        layers_per_stack: number of equal layers in every stack.
    """

    branches: tuple[Branch, ...]
    layers_per_stack: int

    @property
    def format(self) -> Format:
        """The format of all members."""
        return self.branches[0][0].format

    @property
    def num_layers(self) -> int:
        """Of the deepest members."""
        return self.layers_per_stack * max(map(len, self.branches))

    @cached_property
    def branch_sizes(self) -> tuple[int, ...]:
        """Number of members of each branch, exact."""
        return tuple(math.prod(choices.size for choices in branch) for branch in self.branches)

    @cached_property
    def size(self) -> int:
        """Sum of the branch sizes: exact where branches are disjoint (always on the first level), else an upper
        bound."""
        return sum(self.branch_sizes)

    def spec(self, index: int) -> ModelSpec:
        """Member number ``index``. Raises ``ValueError`` outside ``range(size)``."""
        if not 0 <= index < self.size:
            raise ValueError(f"'index' must be in range({self.size}). Got {index}")
        for branch, size in zip(self.branches, self.branch_sizes, strict=True):
            if index < size:
                return self._member(branch, index)
            index -= size
        raise AssertionError("unreachable: branch sizes add up to the size")

    def index(self, spec: ModelSpec) -> int:
        """The (first) place of ``spec``. Raises ``ValueError`` when it is not a member."""
        before = 0
        for branch, size in zip(self.branches, self.branch_sizes, strict=True):
            place = self._place(branch, spec)
            if place is not None:
                return before + place
            before += size
        raise ValueError(f"Not in the design space at {self.layers_per_stack} layers per stack: {spec.to_dict()}")

    def __contains__(self, spec: ModelSpec) -> bool:
        return any(self._place(branch, spec) is not None for branch in self.branches)

    def sample(self, num_specs: int, *, seed: int) -> list[ModelSpec]:
        """``num_specs`` different members; on the first level every subset is equally likely.

        Raises:
            ValueError: when there are fewer members than that.
        """
        specs = list(self.stream(seed=seed, limit=num_specs))
        if len(specs) < num_specs:
            raise ValueError(f"'n' must be at most the number of architectures {len(specs)}. Got {num_specs}")
        return specs

    def stream(self, *, seed: int, limit: int) -> Iterator[ModelSpec]:
        """Up to ``limit`` different members in random order."""
        rng = random.Random(seed)
        drawn = iter(lambda: self.spec(rng.randrange(self.size)), None)
        return distinct(drawn, self.spec, self.size, rng, limit)

    @property
    def num_coordinates(self) -> int:
        """Of points."""
        return 1 + self.num_layers

    def at(self, point: Sequence[float]) -> ModelSpec:
        """The member at a point (num_coordinates,) of the unit cube: first the branch, then the choice of each
        stack."""
        branch = self.branches[min(int(point[0] * len(self.branches)), len(self.branches) - 1)]
        return self._of_stacks(
            [
                choices.layer(min(int(share * choices.size), choices.size - 1))
                for choices, share in zip(branch, point[1:], strict=False)
            ]
        )

    def mutated(self, spec: ModelSpec, rng: "Generator") -> ModelSpec:
        """One stack changed in one respect or drawn anew; sometimes a stack more or less, where there is such a depth.
        Of a stranger to the level, a member at random."""
        stacks = list(spec.layers[:: self.layers_per_stack])
        homes = [branch for branch in self.branches if _fits(stacks, branch)]
        others = [branch for branch in self.branches if len(branch) != len(stacks)]
        if not homes:
            return self.at(rng.random(self.num_coordinates).tolist())
        if others and rng.random() < _CHANGE_DEPTH:
            branch = others[int(rng.integers(len(others)))]
            kept = stacks[: len(branch)]
            stacks = [
                kept[place]
                if place < len(kept) and choices.index(kept[place]) is not None
                else choices.layer(int(rng.integers(choices.size)))
                for place, choices in enumerate(branch)
            ]
            return self._of_stacks(stacks)
        place = int(rng.integers(len(stacks)))
        choices, before = homes[0][place], stacks[place]
        for _ in range(_TRIES):
            after = choices.layer(int(rng.integers(choices.size)))
            if rng.random() >= _ANEW:
                after = choices.crossed(before, after, rng)
            number = choices.index(after)
            if number is not None and number != choices.index(before):
                stacks[place] = choices.layer(number)
                break
        return self._of_stacks(stacks)

    def _of_stacks(self, stacks: Sequence[Layer]) -> ModelSpec:
        layers = itertools.chain.from_iterable([stack] * self.layers_per_stack for stack in stacks)
        return ModelSpec(tuple(layers), self.format)

    def _member(self, branch: Branch, index: int) -> ModelSpec:
        stacks = []
        for choices in reversed(branch):
            index, digit = divmod(index, choices.size)
            stacks.append(choices.layer(digit))
        return self._of_stacks(stacks[::-1])

    def _place(self, branch: Branch, spec: ModelSpec) -> int | None:
        step = self.layers_per_stack
        if spec.format != self.format or len(spec.layers) != step * len(branch):
            return None
        place = 0
        for number, choices in enumerate(branch):
            digits = {choices.index(layer) for layer in set(spec.layers[number * step : (number + 1) * step])}
            digit = digits.pop()
            if digit is None or digits:
                return None
            place = place * choices.size + digit
        return place


def _fits(stacks: Sequence[Layer], branch: Branch) -> bool:
    return len(stacks) == len(branch) and all(
        choices.index(stack) is not None for choices, stack in zip(branch, stacks, strict=True)
    )


def distinct(
    drawn: Iterator[ModelSpec], member: Callable[[int], ModelSpec], size: int, rng: random.Random, limit: int
) -> Iterator[ModelSpec]:
    """Up to ``limit`` different specs in random order.

    Args:
        drawn: of these; in place of one that was drawn before any member stands.
        member: the members by number in ``range(size)``. Where ``limit`` is more than half of them, of all.
    """
    seen = set[ModelSpec]()
    is_crowded = limit * 2 >= size
    if is_crowded:
        drawn = map(member, reversed(rng.sample(range(size), size)))
    while len(seen) < limit:
        spec = next(drawn, None)
        if spec is None:
            return
        while spec in seen and not is_crowded:
            spec = member(rng.randrange(size))
        if spec not in seen:
            seen.add(spec)
            yield spec
