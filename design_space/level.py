"""A level of the hierarchy: a union of product spaces of stacks, counted, indexed and sampled without listing it.

A *branch* fixes the number of stacks and the choices of each; its members are all combinations. The first level has
one branch per depth (``DesignSpace``); a next level has one per pair of parents (``next_level``), and its branches
may overlap.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .choices import StackChoices
from .spec import Format, ModelSpec

Branch = tuple[StackChoices, ...]


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
        rng, seen = random.Random(seed), set[ModelSpec]()
        crowded = limit * 2 >= self.size
        places = rng.sample(range(self.size), self.size) if crowded else None
        for place in reversed(places) if places else iter(lambda: rng.randrange(self.size), None):
            if len(seen) >= limit:
                return
            spec = self.spec(place)
            if spec not in seen:
                seen.add(spec)
                yield spec

    def _member(self, branch: Branch, index: int) -> ModelSpec:
        layers = []
        for choices in reversed(branch):
            index, digit = divmod(index, choices.size)
            layers.extend([choices.layer(digit)] * self.layers_per_stack)
        return ModelSpec(tuple(reversed(layers)), self.format)

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
