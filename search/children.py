"""Children that pruning, stitching and merging make of trained architectures: specs known before any weight is touched.

``first_weights`` in ``inheritance.py`` makes the models.
"""

import itertools
from collections.abc import Collection, Sequence

from design_space import ModelSpec
from flexibert import prune
from flexibert.merging import merged_spec

from .candidate import Candidate, Origin

DENSITIES = (0.75, 0.5)
"""Shares of a parent's linear weights that pruned children keep."""


def children(parents: Sequence[ModelSpec], origins: Collection[str]) -> list[Candidate]:
    """All children of some trained architectures by the given kinds of origin; a parent that is stitched itself has
    none."""
    single = [parent for parent in parents if not parent.groups]
    found = []
    if "prune" in origins:
        for parent, density in itertools.product(single, DENSITIES):
            origin = Origin("prune", parent.hash, density=density)
            found += _candidate(lambda parent=parent, density=density: prune(parent, density=density), origin)
    if "merge" in origins:
        for parent in single:
            found += _candidate(lambda parent=parent: merged_spec(parent), Origin("merge", parent.hash))
    if "stitch" in origins:
        for a, b in itertools.combinations(single, 2):
            if len(a.layers) == len(b.layers):
                spec = ModelSpec.side_by_side([a, b])
                found.append(Candidate(spec, Origin("stitch", a.hash, other=b.hash), "optimized"))
    known = {parent.hash for parent in parents}
    return [candidate for candidate in found if candidate.spec.hash not in known]


def _candidate(make, origin: Origin) -> list[Candidate]:  # type: ignore[no-untyped-def]
    """The child, or nothing where this parent has no such child."""
    try:
        return [Candidate(make(), origin, "optimized")]
    except ValueError:
        return []
