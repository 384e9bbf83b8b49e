"""Seconds to count parameters and operations of 100,000 architectures of the large space, first and again."""

import time

from design_space import DesignSpace
from flexibert import cost_of

NUMBER, LENGTH = 100_000, 128


def main() -> None:
    """Print the figures."""
    specs = DesignSpace.from_yaml("design_space/design_space.yaml").sample(NUMBER, layers_per_stack=1, seed=0)
    for name in ("first", "again"):
        start = time.perf_counter()
        cost = cost_of(specs, LENGTH)
        seconds = time.perf_counter() - start
        print(f"costs of {len(cost.parameters):,} architectures, {name}: {seconds:.2f} s", flush=True)


if __name__ == "__main__":
    main()
