"""The origins that a candidate may have, and how the surrogate sees them.

A score depends on the architecture and on where its first weights came from: a child of a good parent, of which little
was lost, is likely to be good. So the surrogate learns from a few numbers about the origin beside the architecture's
own vector, and architecture and origin are chosen together. Where nothing but ``scratch`` is possible there are none.
Shapes: N candidates, W columns.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from design_space import ModelSpec

from ..candidate import Candidate, Origin
from ..pools.features import features
from .observations import Observations

Overlap = Callable[[ModelSpec, ModelSpec], float]

MADE = ("prune", "stitch", "merge")
"""Kinds of origin that make an architecture out of those of its parents."""

_FEW = 2
"""Parents, of those with enough overlap, from which one architecture may be transferred: the nearest."""


_MOST_KNOWN = 20_000


class Origins:
    """Of one search.

    Args:
        kinds: of origin that may be proposed.
        overlap: share of the second spec's parameters that the first one's weights can fill; None where nothing can be
            transferred.
        min_overlap: the least for a transfer.
    """

    def __init__(self, kinds: Sequence[str], overlap: Overlap | None, min_overlap: float) -> None:
        self._overlap = overlap if "transfer" in kinds else None
        self._min_overlap = min_overlap
        self.made = tuple(kind for kind in MADE if kind in kinds)
        self._known: dict[tuple[str, Origin], tuple[float, float]] = {}
        self._overlaps: dict[tuple[str, str], float] = {}

    @property
    def num_columns(self) -> int:
        """W: share of the child that is inherited, share of the parents that is lost, the parents' score, and one of
        each kind that makes architectures."""
        return 3 + len(self.made) if self.made or self._overlap else 0

    def transfers(self, spec: ModelSpec, parents: Sequence[ModelSpec]) -> list[Origin]:
        """From the first of the given parents, all of its format, that have enough in common with an architecture."""
        found: list[Origin] = []
        for parent in parents:
            if self._overlap is None or len(found) == _FEW:
                break
            origin = Origin("transfer", parent.hash)
            if self._inherited(spec, origin, parent) >= self._min_overlap:
                found.append(origin)
        return found

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
                row[:2] = self._shares(candidate.spec, origin, [observed.specs[parent] for parent in parents])
                row[2] = (np.mean([observed.mean(parent) for parent in parents]) - means.mean()) / unit
            if origin.kind in self.made:
                row[3 + self.made.index(origin.kind)] = 1.0
        return torch.from_numpy(rows)

    def _shares(self, spec: ModelSpec, origin: Origin, parents: Sequence[ModelSpec]) -> tuple[float, float]:
        """Of the child, inherited; of the parents, lost."""
        if (key := (spec.hash, origin)) not in self._known:
            _make_room(self._known)
            inherited = self._inherited(spec, origin, parents[0])
            own, *of_parents = np.exp(features([spec, *parents])[:, 0])  # parameters
            self._known[key] = inherited, max(0.0, 1 - inherited * own / sum(of_parents))
        return self._known[key]

    def _inherited(self, spec: ModelSpec, origin: Origin, parent: ModelSpec) -> float:
        if origin.kind != "transfer" or self._overlap is None:
            return 1.0
        if (key := (spec.hash, parent.hash)) not in self._overlaps:
            _make_room(self._overlaps)
            self._overlaps[key] = float(self._overlap(parent, spec))
        return self._overlaps[key]


def _make_room(known: dict[Any, Any]) -> None:
    """Memory stays bounded over thousands of trials; what is needed again is computed again."""
    if len(known) >= _MOST_KNOWN:
        known.clear()
