"""Candidates of a library and of a large space, searched together.

Vectors are those of the space (``SpacePool``), features standardised over both: the library's embedding is left out,
since nothing outside is embedded. Shapes: N architectures, K columns.
"""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from design_space import ModelSpec

from .features import features
from .library_pool import Candidates, Pool, sobol_point
from .space_pool import SpacePool


class JointPool(Pool):
    """Listed architectures, such as those of a library, and a draw of a space.

    Args:
        listed: one or more.
        drawn: the pool of the space, built ``beside`` them.
    """

    def __init__(self, listed: Sequence[ModelSpec], drawn: SpacePool) -> None:
        self._drawn = drawn
        self.goals, self.layout = drawn.goals, drawn.layout
        by_size = [listed[place] for place in np.argsort(-_sizes(listed), kind="stable")]
        self._listed = drawn.choice(by_size, ())
        self.reference = torch.cat([drawn.reference, self._listed.vectors])

    def vectors(self, specs: Sequence[ModelSpec]) -> Tensor:
        return self._drawn.vectors(specs)

    def candidates(
        self, evaluated: Collection[str], incumbents: Sequence[ModelSpec], rng: np.random.Generator
    ) -> Candidates:
        drawn, listed = self._drawn.candidates(evaluated, incumbents, rng), self._left(evaluated)
        return Candidates([*drawn.specs, *listed.specs], torch.cat([drawn.vectors, listed.vectors]))

    def largest(self, evaluated: Collection[str]) -> ModelSpec | None:
        drawn, listed = self._drawn.largest(evaluated), self._left(evaluated).specs[:1]
        both = [*listed, *([] if drawn is None else [drawn])]
        return both[int(_sizes(both).argmax())] if both else None

    def sobol_candidate(self, number: int, seed: int, evaluated: Collection[str]) -> ModelSpec | None:
        """Of the space, and of those listed (by size), in turn."""
        listed = self._left(evaluated).specs
        drawn = None if number % 2 and listed else self._drawn.sobol_candidate(number, seed, evaluated)
        if drawn is not None or not listed:
            return drawn
        return listed[int(sobol_point(1, number // 2, seed) * len(listed))]

    def _left(self, evaluated: Collection[str]) -> Candidates:
        """Of those listed the ones not evaluated, the largest first."""
        known = set(evaluated)
        places = [place for place, spec in enumerate(self._listed.specs) if spec.hash not in known]
        return Candidates([self._listed.specs[place] for place in places], self._listed.vectors[places])


def _sizes(specs: Sequence[ModelSpec]) -> np.ndarray:
    """(N,) logarithms of the numbers of parameters."""
    return features(specs)[:, 0]
