import numpy as np

from design_space import ModelSpec
from embeddings.weisfeiler_lehman import WeisfeilerLehman


def test_isomorphic_graphs_alone_are_at_distance_zero(tiny_space):
    specs = tiny_space.sample(30, layers_per_stack=1, seed=0)
    distances = WeisfeilerLehman().between(specs, specs)
    assert np.array_equal(distances == 0, np.eye(30, dtype=bool))
    assert distances.max() <= 2**0.5 + 1e-6
    heads = ["sa_sdp_8", "c_5_8"]
    a, b = (ModelSpec.from_dict({"l": 1, "o": [order], "h": [16], "f": [[4]]}) for order in (heads, heads[::-1]))
    assert WeisfeilerLehman().between([a], [b])[0, 0] == 0


def test_a_small_change_is_nearer_than_a_large_one():
    def spec(operation: str, parameter: str, width: int) -> ModelSpec:
        return ModelSpec.from_dict(
            {"l": 2, "o": ["sa", operation], "h": [16] * 2, "n": [2] * 2, "f": [[32], [width]], "p": ["sdp", parameter]}
        )

    near, far = WeisfeilerLehman().between([spec("sa", "sdp", 32)], [spec("sa", "sdp", 64), spec("l", "dct", 64)])[0]
    assert 0 < near < far


def test_the_distance_does_not_depend_on_what_else_is_asked_for(tiny_space):
    specs = tiny_space.sample(6, layers_per_stack=2, seed=1)
    together = WeisfeilerLehman().between(specs[:2], specs)
    assert np.allclose(WeisfeilerLehman().between(specs[:1], specs[3:4]), together[0, 3], atol=1e-6)
