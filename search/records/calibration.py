"""Intervals of predictions with a normal distribution, and whether they hold what came of them."""

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Array = npt.NDArray[np.float64]


def half_width(deviation: Array, share: float = 0.95) -> Array:
    """Returns half the width (N,) of the interval around the mean that holds such a share of a normal distribution."""
    return np.asarray(norm.ppf(0.5 + share / 2) * deviation)


def is_inside(mean: Array, deviation: Array, truth: Array, share: float = 0.95) -> npt.NDArray[np.bool_]:
    """Says of each of the truths (N,) whether it lies in the interval of its prediction, (N,)."""
    return np.asarray(np.abs(truth - mean) <= half_width(deviation, share))
