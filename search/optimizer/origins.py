"""The origins that a candidate may have, the offspring of trained architectures, and how the surrogate sees both.

A score depends on the architecture and on where its first weights came from: a child of a good parent, of which little
was lost, is likely to be good. So the surrogate learns from a few numbers about the origin beside the architecture's
own vector, and architecture and origin are chosen together. Where nothing but ``scratch`` is possible there are none.
What is possible, the morphisms say (``flexibert.morphisms``); no weight is touched here.
Shapes: N candidates, W columns.
"""

import functools
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from design_space import ModelSpec
from flexibert import MORPHISMS, Child, Morphism
from flexibert.morphisms.registry import Overlap

from ..candidate import Candidate, Origin
from ..pools.features import features
from .observations import Observations

_FEW = 2
"""Parents, of those with enough overlap, from which one architecture may inherit by one morphism: the nearest."""

_MOST_KNOWN = 20_000


class Origins:
    """The origins of one search.

    Args:
        names: the morphisms that may be proposed.
        overlap: share of the second spec's parameters that the first one's weights can fill; None where no architecture
            of the space can inherit.
        min_overlap: the least share that such an architecture must inherit.
    """

    def __init__(self, names: Collection[str], overlap: Overlap | None, min_overlap: float) -> None:
        chosen = [morphism for name, morphism in MORPHISMS.items() if name in names]
        self.constructive = [morphism for morphism in chosen if morphism.is_constructive]
        self._filling = [morphism for morphism in chosen if morphism.can_fill] if overlap else []
        self._overlap = overlap or _everything
        self._min_overlap = min_overlap
        self._told_apart = list(dict.fromkeys(one.name for one in [*self.constructive, *self._filling[1:]]))
        self._shares: dict[tuple[str, Origin], float] = {}

    @property
    def num_columns(self) -> int:
        """W: share of the child that is inherited, share of the parents that is lost, the parents' score, and one of
        each morphism but scratch and the first that fills architectures of the space."""
        return 3 + len(self._told_apart) if self.constructive or self._filling else 0

    def inheriting(self, spec: ModelSpec, parents: Sequence[ModelSpec]) -> list[Origin]:
        """Ways for an architecture to inherit enough from the first of the given parents."""
        return [
            origin
            for morphism in self._filling
            for origin in itertools.islice(self._enough(morphism, spec, parents), _FEW)
        ]

    def offspring(self, parents: Sequence[ModelSpec]) -> list[Candidate]:
        """All children of some trained architectures; a parent that is stitched itself has none: every further stitch
        would be as wide as all before together."""
        single, known = [parent for parent in parents if not parent.groups], {parent.hash for parent in parents}
        return [
            Candidate(child.spec, _origin(morphism, chosen, **child.arguments), "optimized")
            for morphism in self.constructive
            for chosen in itertools.combinations(single, morphism.num_parents)
            for child in _children(morphism, chosen)
            if child.spec.hash not in known
        ]

    def columns(self, candidates: Sequence[Candidate], observed: Observations) -> Tensor:
        """(N, W). Scores are in standard deviations from the mean of what is observed; 0 for none. Of parents that are
        not known all is taken to be inherited."""
        rows = np.zeros((len(candidates), self.num_columns))
        if not self.num_columns:
            return torch.from_numpy(rows)
        means = np.array([observed.mean(graph_hash) for graph_hash in observed.scores] or [0.0])
        unit = float(means.std()) or 1.0
        for row, candidate in zip(rows, candidates, strict=True):
            origin = candidate.origin
            if origin.parents:
                row[0] = 1.0
            if parents := [parent for parent in origin.parents if parent in observed.scores]:
                specs = [observed.specs[parent] for parent in parents]
                row[0] = self._share(candidate.spec, origin, specs)
                kept = row[0] * _num_parameters(candidate.spec) / sum(map(_num_parameters, specs))
                row[1] = max(0.0, 1 - kept)
                row[2] = (np.mean([observed.mean(parent) for parent in parents]) - means.mean()) / unit
            if origin.name in self._told_apart:
                row[3 + self._told_apart.index(origin.name)] = 1.0
        return torch.from_numpy(rows)

    def _enough(self, morphism: Morphism, spec: ModelSpec, parents: Sequence[ModelSpec]) -> Iterator[Origin]:
        for chosen in itertools.combinations(parents, morphism.num_parents):
            child = morphism.filled(chosen, spec)
            if child is not None:
                origin = _origin(morphism, chosen, **child.arguments)
                if self._share(spec, origin, chosen) >= self._min_overlap:
                    yield origin

    def _share(self, spec: ModelSpec, origin: Origin, parents: Sequence[ModelSpec]) -> float:
        """What an architecture inherits from its parents, as far as they are known."""
        if len(parents) < len(origin.parents):
            return 1.0
        if (key := (spec.hash, origin)) not in self._shares:
            if len(self._shares) >= _MOST_KNOWN:  # memory stays bounded over thousands of trials
                self._shares.clear()
            self._shares[key] = float(origin.morphism.inherited_share(parents, spec, self._overlap))
        return self._shares[key]


def _origin(morphism: Morphism, parents: Sequence[ModelSpec], **arguments: Any) -> Origin:
    return Origin(morphism.name, *(parent.hash for parent in parents), **arguments)


@functools.lru_cache(1024)  # the best stay the best for many proposals
def _children(morphism: Morphism, parents: tuple[ModelSpec, ...]) -> tuple[Child, ...]:
    return tuple(morphism.children(parents))


@functools.lru_cache(_MOST_KNOWN)
def _num_parameters(spec: ModelSpec) -> float:
    return float(np.exp(features([spec])[0, 0]))


def _everything(parent: ModelSpec, child: ModelSpec) -> float:
    return 1.0
