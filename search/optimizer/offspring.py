"""Children that pruning, stitching and merging make of trained architectures: specs known before any weight is touched.

``initial_weights.py`` makes the models.
"""

import contextlib
import functools
import itertools
from collections.abc import Collection, Sequence

from design_space import ModelSpec
from flexibert import prune
from flexibert.morphisms.layer_merging import merged_spec

from ..candidate import Candidate, Origin

DENSITIES = (0.75, 0.5)
"""Shares of a parent's linear weights that pruned children keep."""


def children(parents: Sequence[ModelSpec], origins: Collection[str]) -> list[Candidate]:
    """All children of some trained architectures by the given kinds of origin; a parent that is stitched itself has
    none."""
    single = [parent for parent in parents if not parent.groups]
    found = []
    if "prune" in origins:
        for parent, density in itertools.product(single, DENSITIES):
            found += _candidate(_pruned(parent, density), Origin("prune", parent.hash, density=density))
    if "merge" in origins:
        for parent in single:
            found += _candidate(_merged(parent), Origin("merge", parent.hash))
    if "stitch" in origins:
        for a, b in itertools.combinations(single, 2):
            if len(a.layers) == len(b.layers):
                spec = ModelSpec.side_by_side([a, b])
                found.append(Candidate(spec, Origin("stitch", a.hash, other=b.hash), "optimized"))
    known = {parent.hash for parent in parents}
    return [candidate for candidate in found if candidate.spec.hash not in known]


def _candidate(spec: ModelSpec | None, origin: Origin) -> list[Candidate]:
    return [] if spec is None else [Candidate(spec, origin, "optimized")]


@functools.lru_cache(maxsize=1024)  # the best stay the best for many suggestions
def _pruned(parent: ModelSpec, density: float) -> ModelSpec | None:
    """None where this parent has no such child."""
    with contextlib.suppress(ValueError):
        return prune(parent, density=density)
    return None


@functools.lru_cache(maxsize=1024)
def _merged(parent: ModelSpec) -> ModelSpec | None:
    """None where this parent has no such child."""
    with contextlib.suppress(ValueError):
        return merged_spec(parent)
    return None
