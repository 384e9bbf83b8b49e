"""Standard errors of scores."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest

from search.training.uncertainty import error_of_mean, interval, resampled_scores, score_error


def _accuracy(predictions, labels):
    return {"accuracy": float(np.mean(predictions == labels))}


DATA = SimpleNamespace(metric="accuracy", compute_metrics=_accuracy)


@pytest.mark.parametrize("rows", [400, 10_000])
def test_the_error_of_an_accuracy_is_that_of_the_binomial_distribution(rows):
    labels = np.zeros(rows, dtype=int)
    predictions = (np.arange(rows) % 5 == 0).astype(int)
    assert score_error(DATA, predictions, labels) == pytest.approx(math.sqrt(0.8 * 0.2 / rows), rel=0.2)


def test_rows_are_drawn_alike_for_all_models():
    labels, right = np.zeros(50, dtype=int), np.zeros(50, dtype=int)
    wrong_once = right.copy()
    wrong_once[7] = 1
    first, second = (resampled_scores(DATA, one, labels, resamples=20, drawn=50) for one in (right, wrong_once))
    assert set(np.round(50 * (first - second)).astype(int)) <= set(range(6))
    assert (first == 1).all()


def test_a_score_that_no_resample_has_is_without_error():
    def one_class(predictions, labels):
        raise ValueError

    data = SimpleNamespace(metric="accuracy", compute_metrics=one_class)
    assert score_error(data, np.zeros(3), np.zeros(3)) == 0


def test_errors_of_a_mean_add_as_squares():
    assert error_of_mean([0.03, 0.04]) == pytest.approx(0.025)


def test_where_all_rows_are_right_it_may_still_be_off():
    """No resample differs: the bootstrap alone would say that a perfect score on a few rows is certain."""
    labels = np.array([0, 1] * 8)
    assert score_error(DATA, labels, labels) == pytest.approx(math.sqrt(17 / 18 * (1 / 18) / 18))
    low, high = interval(np.ones(10), 1.0, 0.95, rows=16)
    assert (low, high) == (pytest.approx(binomtest(16, 16).proportion_ci(0.95).low), 1.0)
    assert interval(np.array([1.0, math.nan]), 1.0, 0.95, rows=16) == (low, high)  # some resamples have no score
    assert interval(np.zeros(10), 0.0, 0.95) == (0.0, 0.0)  # of differences
