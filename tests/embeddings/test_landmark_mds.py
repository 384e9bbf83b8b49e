import numpy as np
import pytest

from embeddings.landmark_mds import embed_landmarks, fidelity, place, refine


def _distances(a, b):
    return np.linalg.norm(a[:, None] - b[None], axis=-1)


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(60, 5))


@pytest.mark.parametrize("algo", ["MDS", "GD"])
def test_points_are_recovered_up_to_a_rotation(points, algo):
    vectors = embed_landmarks(_distances(points, points), 5, algo=algo)
    assert np.allclose(_distances(vectors, vectors), _distances(points, points), atol=0.02)


def test_further_points_are_placed_where_they_belong(points):
    placed = place(_distances(points[40:], points[:40]), points[:40])
    assert np.allclose(placed, points[40:], atol=1e-6)


def test_placing_lowers_the_stress_of_triangulation(points):
    rng = np.random.default_rng(1)
    distances = _distances(points[40:], points[:40]) * rng.uniform(0.7, 1.3, size=(20, 40))
    placed = place(distances, points[:40])

    def stress(vectors):
        return ((_distances(vectors, points[:40]) - distances) ** 2).sum()

    assert all(stress(placed) <= stress(placed + 0.05 * rng.normal(size=placed.shape)) for _ in range(20))


def test_refining_comes_near_the_least_stress_of_all_pairs_with_any_number_of_threads():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(150, 6))
    distances = np.abs(points[:, None] - points[None]).sum(-1)  # not Euclidean, and of more dimensions than vectors
    fitted = embed_landmarks(distances[:40, :40], 3, algo="MDS")
    start = place(distances[:, :40], fitted)
    refined = refine(distances.astype(np.float32), start)
    assert np.array_equal(refined, refine(distances.astype(np.float32), start, num_threads=3))

    def stress(vectors):
        return ((_distances(vectors, vectors) - distances) ** 2).mean()

    smacof = embed_landmarks(distances, 3, algo="MDS")  # all 150 are landmarks
    assert stress(refined) < 0.9 * stress(start)
    assert stress(refined) < 1.1 * stress(smacof)


def test_fidelity_of_a_perfect_a_scaled_and_a_random_embedding():
    distances = np.random.default_rng(0).uniform(1, 2, size=500)
    assert fidelity(distances, 3 * distances) == pytest.approx({"stress": 0, "spearman": 1}, abs=1e-6)
    assert fidelity(distances, distances[::-1])["spearman"] < 0.2


@pytest.mark.parametrize(
    ("size", "algo", "message"),
    [
        (60, "MDS", "'embedding_size' must be between 1 and .* 59. Got 60"),
        (2, "PCA", "'algo' must be 'MDS' or 'GD'. Got 'PCA'"),
    ],
)
def test_bad_options_are_refused(points, size, algo, message):
    with pytest.raises(ValueError, match=message):
        embed_landmarks(_distances(points, points), size, algo=algo)
