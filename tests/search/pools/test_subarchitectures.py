"""A root's sub-architectures as what is searched."""

import numpy as np
import pytest
import torch

from design_space import ModelSpec, Subarchitectures
from flexibert import FlexiBERTConfig, transfer_overlap
from flexibert.pruning import linear_weights
from search import BOSHNAS, BOSHNASSettings
from search.objectives import Goals, exact_costs
from search.pools.features import SECTIONS, profiles
from search.pools.space_pool import SpacePool

MINILM = ModelSpec.homogeneous(6, 384, 12, 1536)
MEMBERS = Subarchitectures(MINILM)
SMALL = FlexiBERTConfig(model_dict=MINILM.to_dict(), vocab_size=100, max_position_embeddings=128)
FEW = BOSHNASSettings(num_init=4, num_largest=1, num_samples=100, num_mutations=100, patience=100)


def size(spec: ModelSpec) -> float:
    return linear_weights(spec) / linear_weights(MINILM)


def kept_below(spec: ModelSpec) -> float:
    """Best where heads and neurons stay in the lower half, shallow or deep."""
    layers = spec.layers
    shares = [len(layer.heads) / 12 + layer.feed_forward[0] / 1536 for layer in layers]
    half = len(layers) / 2
    lower = sum(share * min(1.0, max(0.0, half - place)) for place, share in enumerate(shares))
    return 2 * lower / len(MINILM.layers) - sum(shares) / (2 * len(MINILM.layers))


def test_members_that_keep_a_limit_of_a_sixteenth_are_found():
    exact = exact_costs(SMALL)
    limit = float(exact["parameters"]([MINILM])[0]) / 16
    goals = Goals(constraints={"parameters": limit}, exact=exact)
    pool = SpacePool(MEMBERS, num_samples=300, num_mutations=100, goals=goals, has_profiles=True)
    largest = pool.largest(())
    assert largest is not None
    assert 0.9 * limit < goals.columns([largest])[0, 0] <= limit
    candidates = pool.candidates({largest.hash}, [largest], np.random.default_rng(0))
    assert len(candidates) > 60
    assert all(spec in MEMBERS and spec.hash != largest.hash for spec in candidates.specs)
    assert goals.columns(candidates.specs).max() <= limit
    assert len({len(spec.layers) for spec in candidates.specs}) >= 5
    spread = [pool.sobol_candidate(number, 0, ()) for number in range(5)]
    assert goals.columns(spread).max() <= limit


def test_a_limit_below_every_point_is_reached_by_mutations():
    exact = {"weights": lambda specs: np.array([size(spec) for spec in specs])}
    goals = Goals(constraints={"weights": 0.005}, exact=exact)
    pool = SpacePool(MEMBERS, num_samples=50, num_mutations=50, goals=goals)
    largest = pool.largest(())
    assert largest is not None
    assert size(largest) <= 0.005
    with pytest.raises(ValueError, match="None of the members found of the space keeps all constraints: 'weights'"):
        SpacePool(MEMBERS, num_samples=5, num_mutations=5, goals=Goals(constraints={"weights": 0.001}, exact=exact))


def test_vectors_tell_apart_where_the_cut_is():
    """Mirror images have the same means, and other profiles."""
    half = MEMBERS.at([0.17, 0.99, 0, *[0.5, 0.0, 0.5, 0.0] * 3, *[0.5, 1.0, 0.5, 1.0] * 3])
    mirrored = ModelSpec(half.layers[::-1], half.format)
    assert mirrored in MEMBERS
    pool = SpacePool(MEMBERS, num_samples=5, num_mutations=5, has_profiles=True)
    columns = pool.layout.feature_columns
    a, b = pool.vectors([half, mirrored])[:, columns]
    assert (a - b).abs().max() > 1
    means = SpacePool(MEMBERS, num_samples=5, num_mutations=5)
    a, b = means.vectors([half, mirrored])[:, means.layout.feature_columns]
    assert torch.allclose(a, b)


def test_profiles_are_of_layers_at_even_depths():
    rows = profiles([MINILM, ModelSpec(MINILM.layers[:1]), ModelSpec.homogeneous(12, 8, 2, 16)])
    assert rows.shape == (3, 2 * SECTIONS)
    assert rows[0].tolist() == rows[1].tolist() == [384.0, 1536.0] * SECTIONS
    assert rows[2].tolist() == [8.0, 16.0] * SECTIONS
    uneven = ModelSpec((*MINILM.layers[:5], ModelSpec.homogeneous(1, 384, 12, 96).layers[0]))
    assert (profiles([uneven])[0] != rows[0]).nonzero()[0].tolist() == [2 * SECTIONS - 1]


def test_a_root_is_searched_under_a_limit():
    limits = {"constraints": {"size": 0.25}, "exact": {"size": lambda specs: np.array([size(x) for x in specs])}}
    best, origins = [], set()
    for seed in range(2):
        boshnas = BOSHNAS(MEMBERS, seed=seed, settings=FEW, overlap=transfer_overlap, **limits)
        for _ in range(20):
            (candidate,) = boshnas.ask(1)
            assert candidate.spec in MEMBERS
            assert size(candidate.spec) <= 0.25
            boshnas.tell(candidate, kept_below(candidate.spec))
            origins.add(candidate.origin.name)
        assert boshnas.best is not None
        best.append(boshnas.best[1])
    random = [kept_below(spec) for spec in MEMBERS.sample(2000, seed=0) if size(spec) <= 0.25]
    assert min(best) > max(random[:20])
    assert np.mean(best) > np.quantile(random, 0.99)
    assert origins <= {"scratch", "transfer"}


def test_a_tiny_root_is_searched_to_its_end():
    space = Subarchitectures(ModelSpec.homogeneous(1, 8, 2, 2))
    boshnas = BOSHNAS(space, settings=BOSHNASSettings(num_init=3, num_samples=50, num_mutations=50, patience=100))
    hashes = set()
    while candidates := boshnas.ask(1):
        hashes.add(candidates[0].spec.hash)
        boshnas.tell(candidates[0], 0.5)
    assert len(hashes) == space.size == 12
