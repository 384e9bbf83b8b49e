"""Small specs of either format, by seed."""

import random

from design_space import Head, Layer, ModelSpec

OPERATIONS = [("sa", "sdp"), ("sa", "wma"), ("l", "dft"), ("l", "dct"), ("c", 3), ("c", 5)]


def random_spec(seed: int) -> ModelSpec:
    """A small spec of either format."""
    rng = random.Random(seed)
    is_hetero, layers = seed % 2 == 1, []
    for _ in range(rng.randint(1, 3)):
        stack = tuple(rng.choice([16, 24]) for _ in range(rng.randint(1, 2)))
        if is_hetero:
            size, num_heads = rng.choice([4, 8]), rng.randint(1, 4)
            heads = tuple(Head(*rng.choice(OPERATIONS), size) for _ in range(num_heads))
            layers.append(Layer(rng.choice([16, 24]), heads, stack))
        else:
            num_heads, width = rng.choice([(1, 16), (2, 16), (4, 16), (3, 24), (2, 24)])
            layers.append(Layer(width, (Head(*rng.choice(OPERATIONS), width // num_heads),) * num_heads, stack))
    return ModelSpec(tuple(layers), "hetero" if is_hetero else "standard")
