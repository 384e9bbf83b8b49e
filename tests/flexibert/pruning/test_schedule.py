"""The threshold schedule and the regularizer against hand-computed values."""

import math

import pytest
import torch

from flexibert.pruning import PruningConfig
from flexibert.pruning.masks import Scores, Threshold
from flexibert.pruning.schedule import L0_SHIFT, regularization, threshold_at


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1.0),
        (10, 1.0),  # initial_warmup * 10
        (45, 0.5 + 0.5 * 0.125),  # half of the 70 steps between
        (80, 0.5),  # the way down is over
        (81, 0.5),
        (99, 0.5),
    ],
)
def test_threshold_schedule_with_default_warmups(step, expected):
    assert threshold_at(PruningConfig(), step, 100, 10) == pytest.approx(expected)


def test_threshold_may_rise():
    config = PruningConfig(
        dense_pruning_method="sigmoied_threshold",
        attention_pruning_method="sigmoied_threshold",
        initial_threshold=0.0,
        final_threshold=0.1,
        initial_warmup=0,
        final_warmup=0,
    )
    assert [threshold_at(config, step, 4, 3) for step in range(5)] == pytest.approx(
        [0.0, 0.1 - 0.1 * 27 / 64, 0.1 - 0.1 / 8, 0.1 - 0.1 / 64, 0.1]
    )


def test_warmups_that_fill_the_training_are_refused():
    with pytest.raises(ValueError, match=r"\(1 \+ 2\) times the 10 warm-up steps must be below the 30 steps"):
        threshold_at(PruningConfig(), 0, 30, 10)


def of_kind(values, kind):
    found = Scores((len(values),), (1, 1), "topK", Threshold(1, 1), 0.0, kind)
    with torch.no_grad():
        found.scores.copy_(torch.tensor(values))
    return found


def test_l1_regularizer_is_half_the_mean_sigmoid_of_each_kind():
    config = PruningConfig(
        regularization="l1", regularization_final_lambda=10.0, attention_lambda=2.0, dense_lambda=3.0
    )
    ln3 = math.log(3.0)
    found = [of_kind([ln3, -ln3], "attention"), of_kind([ln3], "dense"), of_kind([0.0, 0.0], "dense")]
    # attention: mean(3/4, 1/4) = 1/2; dense: mean over the tensors of 3/4 and 1/2 = 5/8
    assert regularization(config, found, 0.5).item() == pytest.approx(5 * (2 * 0.5 + 3 * 0.625))
    # its weight is in proportion to the threshold: here 1 / 0.5
    assert regularization(config, found, 1.0).item() == pytest.approx(10 * (2 * 0.5 + 3 * 0.625))


def test_l0_regularizer_is_the_probability_of_an_open_gate():
    config = PruningConfig(
        dense_pruning_method="l0", regularization="l0", regularization_final_lambda=1.0, final_threshold=0.5
    )
    assert pytest.approx(2 / 3 * math.log(0.1 / 1.1)) == L0_SHIFT
    value = regularization(config, [of_kind([0.0], "dense")], 0.5).item()
    # P(gate > 0) at score 0: 1 - sigma(2/3 ln(1/11)) = 11^(2/3) / (1 + 11^(2/3))
    assert value == pytest.approx(0.5 * 11 ** (2 / 3) / (1 + 11 ** (2 / 3)))


def test_without_regularization_there_is_no_term():
    assert regularization(PruningConfig(), [of_kind([0.0], "dense")], 1.0) is None
