"""How long a forward pass takes on this machine, predicted for any architecture from a few that were measured.

Time is taken to grow with what there is: a part that every model has, one for each layer, one for each head, and one
for the operations of the mixing and of the feed-forwards. The shares are fitted, none below 0 (non-negative least
squares on relative errors), so that a larger model is never predicted to be faster. Shapes: N architectures, T terms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from design_space import ModelSpec

from .flops import cost_of

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LatencyModel:
    """Fitted to measurements of one machine, under one condition.

    Attributes:
        shares: milliseconds of each term, (T,).
        length: tokens of the sequences that were measured.
        error: median relative error, each measured architecture predicted from all others.
    """

    shares: Array
    length: int
    error: float

    def __call__(self, specs: Sequence[ModelSpec]) -> Array:
        """Milliseconds (N,)."""
        return _terms(specs, self.length) @ self.shares


def fit_latency_model(specs: Sequence[ModelSpec], milliseconds: Sequence[float], *, length: int) -> LatencyModel:
    """Fit to the times of some architectures, all of sequences of ``length`` tokens.

    Raises:
        ValueError: for fewer than two architectures, or times that are not above 0.
    """
    from scipy.optimize import nnls  # here, since it takes a while

    times = np.asarray(milliseconds, dtype=float)
    if len(specs) < 2 or len(specs) != len(times) or not (np.isfinite(times) & (times > 0)).all():
        raise ValueError(f"'milliseconds' must be times above 0 of two or more architectures. Got {len(times)}")
    relative = _terms(specs, length) / times[:, None]
    ones = np.ones(len(times))
    shares = nnls(relative, ones)[0]
    errors = []
    for left_out in range(len(times)):
        others = np.arange(len(times)) != left_out
        errors.append(abs(relative[left_out] @ nnls(relative[others], ones[others])[0] - 1))
    return LatencyModel(shares, length, float(np.median(errors)))


def _terms(specs: Sequence[ModelSpec], length: int) -> Array:
    """(N, T)."""
    cost = cost_of(specs, length)
    shapes = np.array(
        [
            [
                1.0,
                len(spec.layers),
                sum(len(layer.heads) for layer in spec.layers),
                sum(layer.hidden_size * sum(layer.feed_forward) for layer in spec.layers) * length / 1e6,
            ]
            for spec in specs
        ]
    )
    return np.column_stack([shapes, cost.flops_per_token * length / 1e6])
