from typing import Any

import numpy as np
import pytest
import torch

from design_space import ModelSpec, Subarchitectures
from embeddings import GraphLibrary
from flexibert import transfer_overlap
from flexibert.pruning import linear_weights
from search import BOSHNAS, BOSHNASSettings
from search.objectives import Goals
from search.pools.features import features
from search.pools.joint_pool import JointPool
from search.pools.space_pool import SpacePool

ROOT = ModelSpec.homogeneous(2, 32, 4, 64)


def joint(library: GraphLibrary, **options: Any) -> JointPool:
    drawn = SpacePool(Subarchitectures(ROOT), num_samples=50, num_mutations=20, beside=library.specs, **options)
    return JointPool(library.specs, drawn)


@pytest.fixture(scope="module")
def pool(tiny_library) -> JointPool:
    return joint(tiny_library, has_profiles=True)


def test_candidates_are_of_both(pool, tiny_library):
    known = {tiny_library.specs[0].hash}
    found = pool.candidates(known, [ROOT], np.random.default_rng(0))
    of_library = [spec for spec in found.specs if spec.hash in tiny_library]
    of_root = [spec for spec in found.specs if spec in Subarchitectures(ROOT)]
    assert {spec.hash for spec in of_library} >= {spec.hash for spec in tiny_library.specs} - known
    assert len(of_root) > 40
    assert torch.equal(found.vectors, pool.vectors(found.specs))
    assert found.vectors.shape[1] == sum(pool.layout)
    assert pool.layout.embedding == 0
    numbers = pool.reference[:, : pool.layout.features]
    assert numbers.mean(0).abs().max() < 1e-6
    assert (numbers.std(0, unbiased=False) - 1).abs().max() < 1e-6


def test_the_largest_and_the_spread_are_of_both(pool, tiny_library):
    everything = [*tiny_library.specs, *Subarchitectures(ROOT).stream(seed=0, limit=2000)]
    evaluated: set[str] = set()
    for _ in range(3):
        largest = pool.largest(evaluated)
        evaluated.add(largest.hash)
        left = [spec for spec in everything if spec.hash not in evaluated]
        assert features([largest])[0, 0] >= features(left)[:, 0].max()
    spread = [pool.sobol_candidate(number, 0, ()) for number in range(12)]
    assert [spec.hash in tiny_library for spec in spread[1::2]] == [True] * 6
    assert all(spec in Subarchitectures(ROOT) for spec in spread[::2])
    whole_library = [spec.hash for spec in tiny_library.specs]
    assert pool.sobol_candidate(1, 0, whole_library) in Subarchitectures(ROOT)


def test_limits_hold_for_both(tiny_library):
    goals = Goals(constraints={"parameters": 5.3e5})
    pool = joint(tiny_library, goals=goals)
    specs = [*pool.candidates((), [], np.random.default_rng(0)).specs, pool.largest(()), pool.sobol_candidate(1, 0, ())]
    assert (goals.columns(specs) <= 5.3e5).all()
    assert {spec.hash in tiny_library for spec in specs} == {True, False}


def test_the_better_of_both_is_found(tiny_library):
    """Where parts of the root are better than all of the library, they are proposed; else the library's."""

    def score(spec: ModelSpec, sign: int) -> float:
        return sign * (spec.format == "hetero") - linear_weights(spec) / linear_weights(ROOT)

    for sign in (1, -1):
        boshnas = BOSHNAS(
            tiny_library,
            also=Subarchitectures(ROOT),
            settings=BOSHNASSettings(num_init=6, num_samples=50, num_mutations=50),
            overlap=transfer_overlap,
        )
        for _ in range(16):
            (candidate,) = boshnas.ask(1)
            boshnas.tell(candidate, score(candidate.spec, sign))
        assert boshnas.best is not None
        assert (boshnas.best[0].format == "hetero") == (sign == 1)


def test_a_space_too_large_to_list_has_no_second_one_beside_it(tiny_space):
    with pytest.raises(ValueError, match="'also' is searched together with a library. Got a Level of 65,792"):
        BOSHNAS(tiny_space.level(layers_per_stack=1), also=Subarchitectures(ROOT))
