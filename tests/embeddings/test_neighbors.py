import numpy as np
import pytest

from embeddings.neighbors import biased_overlap, nearest_by_overlap


def test_they_are_those_of_sorting_all_pairs(tiny_space):
    specs = tiny_space.sample(50, layers_per_stack=2, seed=2)
    vectors = np.random.default_rng(0).normal(size=(50, 4))
    found = nearest_by_overlap(specs, vectors, 12)
    for i, spec in enumerate(specs):
        others = [j for j in range(50) if j != i]
        others.sort(key=lambda j: (-biased_overlap(spec, specs[j]), np.linalg.norm(vectors[j] - vectors[i])))
        assert found[i].tolist() == others[:12]


def test_overlap_counts_leading_vertices(tiny_space):
    a, b = tiny_space.spec(0, layers_per_stack=2), tiny_space.spec(1, layers_per_stack=2)
    assert biased_overlap(a, a) == a.graph().number_of_nodes()
    assert a.layers[0].feed_forward != b.layers[0].feed_forward
    assert biased_overlap(a, b) == 1 + len(a.layers[0].heads) + 1  # input, heads, add_norm


@pytest.mark.parametrize("num_neighbors", [0, 5, 9])
def test_there_must_be_enough_others(tiny_space, num_neighbors):
    specs = tiny_space.sample(5, layers_per_stack=2, seed=2)
    with pytest.raises(ValueError, match=f"'num_neighbors' must be between 1 and .* 4. Got {num_neighbors}"):
        nearest_by_overlap(specs, np.zeros((5, 2)), num_neighbors)
