import numpy as np
import pytest

from design_space import DesignSpace
from design_space.choices import FeedForwardChoices
from embeddings import GraphLibrary


@pytest.fixture(scope="module")
def space():
    return DesignSpace.from_yaml("design_space/design_space.yaml")


@pytest.fixture(scope="module")
def sampled(space):
    """400 of 2.2e22 architectures."""
    return GraphLibrary.build(
        space, layers_per_stack=1, heterogeneous_feed_forward=True, max_graphs=400, num_neighbors=5, n_jobs=1
    )


def test_the_nearest_architecture_is_sought_in_the_whole_space(sampled):
    strangers = [spec for spec in sampled.level.sample(12, seed=9) if spec.hash not in sampled]
    before, found = [], []
    for spec in strangers:
        vector = sampled.embed(spec)
        nearest = sampled.nearest(vector)
        assert nearest in sampled.level
        before.append(np.linalg.norm(sampled.embeddings - vector, axis=1).min())
        found.append(np.linalg.norm(sampled.embed(nearest) - vector))
        assert found[-1] <= before[-1] + 1e-9
    # Nearer than the best of the sample by half, on average.
    assert np.mean(found) < 0.7 * np.mean(before)


def test_a_member_of_a_sample_is_nearest_to_its_own_vector(sampled):
    for i in (0, 57, 399):
        assert sampled.nearest(sampled.embeddings[i]) == sampled.specs[i]


def test_nearest_architectures_of_heterogeneous_heads_are_sought_in_the_whole_space():
    space = DesignSpace.from_yaml("design_space/design_space_hetero.yaml")
    library = GraphLibrary.build(space, layers_per_stack=1, max_graphs=300, num_neighbors=5, n_jobs=1)
    assert library.quality["spearman"] > 0.95
    before, found = [], []
    for spec in library.level.sample(12, seed=9):
        vector = library.embed(spec)
        nearest = library.nearest(vector)
        assert nearest in library.level
        before.append(np.linalg.norm(library.embeddings - vector, axis=1).min())
        found.append(np.linalg.norm(library.embed(nearest) - vector))
        assert found[-1] <= before[-1] + 1e-9
    assert np.mean(found) < 0.8 * np.mean(before)


def test_in_a_listed_space_the_nearest_member_is_exact(space):
    tiny = DesignSpace.from_dict(space.to_dict() | {"architecture": _tiny(space)})
    library = GraphLibrary.build(tiny, layers_per_stack=2, embedding_size=4, num_neighbors=3, n_jobs=1)
    rng = np.random.default_rng(0)
    for vector in rng.uniform(library.embeddings.min(0), library.embeddings.max(0), (5, 4)):
        nearest = np.linalg.norm(library.embeddings - vector, axis=1).argmin()
        assert library.nearest(vector) == library.specs[nearest]


def _tiny(space):
    architecture = dict(space.to_dict()["architecture"])
    return architecture | {
        "hidden_size": [128],
        "encoder_layers": [2],
        "num_heads": [2, 4],
        "operation_types": ["sa", "l"],
        "operation_parameters": {"sa": ["sdp", "wma"], "l": ["dft", "dct"]},
        "number_of_feed-forward_stacks": [1],
        "feed-forward_hidden": [512, 1024],
    }


def test_stacks_near_a_stack_differ_in_one_respect():
    mixed = FeedForwardChoices(counts=(1, 2), widths=(8, 16), heterogeneous=True)
    assert set(mixed.near((8, 16))) == {(16, 16), (8, 8), (8,)}
    assert set(mixed.near((8,))) == {(16,), (8, 8), (8, 16)}
    equal = FeedForwardChoices(counts=(1, 3), widths=(8, 16))
    assert set(equal.near((8,))) == {(16,), (8, 8, 8)}


def test_layers_near_a_layer_differ_in_one_respect(space):
    choices = space.level(layers_per_stack=1).branches[0][0]
    layer = choices.layer(0)
    near = choices.near(layer)
    assert layer not in near
    assert len(set(near)) == len(near) == len(choices.shapes) - 1 + len(choices.operations) - 1 + (4 - 1) + (3 - 1)
    assert all(choices.index(other) is not None for other in near)
