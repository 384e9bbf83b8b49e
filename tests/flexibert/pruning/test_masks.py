"""Masks against hand-computed values, forward and backward."""

import math

import pytest
import torch
from torch import nn

from flexibert.pruning.masks import (
    MaskFactor,
    Scores,
    Threshold,
    WeightMask,
    above,
    block_means,
    hard_concrete,
    mask_linear,
    plain_linear,
    raw_weight,
    top_share,
)


def scores(values, block=(1, 1), method="topK", threshold=0.5, min_share=0.005):
    values = torch.as_tensor(values, dtype=torch.float)
    found = Scores(tuple(values.shape), block, method, Threshold(threshold, threshold), min_share, "dense")
    if found.scores is not None:
        with torch.no_grad():
            found.scores.copy_(values)
    return found


def linear_of(weight, bias=None):
    weight = torch.as_tensor(weight, dtype=torch.float)
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(torch.ones(len(weight)) if bias is None else torch.as_tensor(bias, dtype=torch.float))
    return linear


def test_top_share_keeps_the_highest_and_of_equals_the_first():
    values = torch.tensor([[0.1, 0.9, 0.5], [0.7, 0.5, -1.0]])
    assert top_share(values, 0.5).tolist() == [[0, 1, 1], [1, 0, 0]]
    assert top_share(values, 1.0).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert top_share(values, 0.0).sum() == 0
    assert top_share(torch.zeros(4), 0.5).tolist() == [1, 1, 0, 0]


def test_top_share_counts_exactly_where_floating_point_does_not():
    assert 0.29 * 100 < 29
    assert top_share(torch.arange(100.0), 0.29).sum() == 29


def test_threshold_masks_compare_scores_or_their_sigmoid():
    values = torch.tensor([-1.0, 0.4, 0.6, 2.0])
    assert above(values, 0.5, 0.0, is_sigmoid=False).tolist() == [0, 0, 1, 1]
    assert above(values, 0.5, 0.0, is_sigmoid=True).tolist() == [0, 1, 1, 1]


def test_threshold_masks_keep_a_least_share():
    values = torch.tensor([-3.0, -1.0, -2.0, -4.0])
    assert above(values, 0.0, 0.0, is_sigmoid=False).tolist() == [0, 1, 0, 0]
    assert above(values, 0.0, 0.25, is_sigmoid=False).tolist() == [0, 1, 1, 0]
    assert above(torch.zeros(4), 0.5, 1.0, is_sigmoid=True).tolist() == [1, 1, 1, 1]


def test_hard_concrete_gates_in_evaluation():
    # sigma(s) 1.2 - 0.1: 0.5 at 0; 0 below sigma = 1/12; 1 above sigma = 11/12
    values = torch.tensor([0.0, math.log(1 / 11) - 0.01, math.log(11) + 0.01])
    torch.testing.assert_close(hard_concrete(values, False), torch.tensor([0.5, 0.0, 1.0]))


def test_hard_concrete_gates_are_sampled_in_training():
    torch.manual_seed(0)
    gates = hard_concrete(torch.zeros(20000), True)
    # P(0) = P(logit u < beta logit(1/12)) = sigma(-2/3 ln 11); by symmetry P(1) too
    expected = 1 / (1 + 11 ** (2 / 3))
    assert (gates == 0).float().mean() == pytest.approx(expected, abs=0.01)
    assert (gates == 1).float().mean() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("axis", "values", "expected"),
    [
        ("both", [[1, 0]], [[1, 1, 0, 0], [1, 1, 0, 0]]),
        ("rows", [1, 0], [[1], [1], [0], [0]]),
        ("columns", [0, 1], [[0, 0, 1, 1]]),
        ("transposed", [[1, 0]], [[1, 1], [1, 1], [0, 0], [0, 0]]),
    ],
)
def test_scores_are_spread_over_blocks(axis, values, expected):
    part = MaskFactor(scores(values, block=(2, 2), method="threshold"), axis)
    assert part.expanded().tolist() == expected


def test_the_gradient_of_a_mask_reaches_its_score_unchanged():
    found = scores([[1.0, -1.0]], block=(1, 2))
    linear = linear_of([[1.0, 2.0, 3.0, 4.0]])
    mask_linear(linear, WeightMask([MaskFactor(found, "both")]), bias_mask=True)
    linear(torch.tensor([[1.0, 1.0, 10.0, 10.0]])).sum().backward()
    # d/d mask of a block: sum of w x over it, masked or not
    assert found.scores.grad.tolist() == [[3.0, 70.0]]
    # weights of masked blocks get no gradient
    assert raw_weight(linear).grad.tolist() == [[1.0, 1.0, 0.0, 0.0]]


def test_two_parts_multiply_and_biases_of_masked_rows_vanish():
    rows, columns = scores([1.0, 0.0], method="threshold"), scores([1.0, 1.0, 0.0], method="threshold")
    linear = linear_of([[1, 2, 3], [4, 5, 6]], [7, 8])
    mask_linear(linear, WeightMask([MaskFactor(rows, "rows"), MaskFactor(columns, "columns")]), bias_mask=True)
    assert linear.weight.tolist() == [[1, 2, 0], [0, 0, 0]]
    assert linear.bias.tolist() == [7, 0]
    plain = plain_linear(linear)
    assert type(plain) is nn.Linear
    assert plain.weight.tolist() == [[1, 2, 0], [0, 0, 0]]


def test_without_bias_mask_biases_stay():
    linear = linear_of([[1, 2]], [7])
    mask_linear(
        linear, WeightMask([MaskFactor(scores([0.0], method="threshold", min_share=0.0), "rows")]), bias_mask=False
    )
    assert linear.bias.tolist() == [7]


def test_magnitude_keeps_blocks_with_the_largest_mean():
    weight = torch.tensor([[1.0, -1.0, 5.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    assert block_means(weight.abs(), (2, 2), "both").tolist() == [[1.0, 1.25]]
    assert block_means(weight.abs(), (2, 1), "columns").tolist() == [1.0, 1.25]
    assert block_means(weight.abs(), (1, 1), "rows").tolist() == [1.75, 0.5]
    assert block_means(weight.abs(), (2, 1), "transposed").tolist() == [[1.0, 1.0], [2.5, 0.0]]
    found = scores(torch.zeros(1, 2), block=(2, 2), method="magnitude")
    linear = linear_of(weight)
    found.weighed.append((linear, "both"))
    assert found.scores is None
    assert found().tolist() == [[0.0, 1.0]]


def test_evaluation_uses_the_final_threshold_unless_told_otherwise():
    found = scores([3.0, 2.0, 1.0, 0.0])
    found.threshold.current = 1.0
    assert found.train()().sum() == 4
    assert found.eval()().sum() == 2
    found.threshold.evaluates_current = True
    assert found.eval()().sum() == 4
