"""How the threshold moves during training, and what the scores pay (nn_pruning; semantics of Lagunas et al. 2021)."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from .config import PruningConfig
from .masks import STRETCH_BETA, STRETCH_HIGH, STRETCH_LOW, Scores

L0_SHIFT = STRETCH_BETA * math.log(-STRETCH_LOW / STRETCH_HIGH)


def threshold_at(config: PruningConfig, step: int, total_steps: int, warmup_steps: int) -> float:
    """The threshold at ``step`` of ``total_steps``: the first value, a cubic way down (or up), the last value.

    Raises:
        ValueError: when the two warm-ups leave no step between them.
    """
    before, after = config.initial_warmup * warmup_steps, config.final_warmup * warmup_steps
    if before + after >= total_steps:
        raise ValueError(
            f"'initial_warmup' + 'final_warmup' ({config.initial_warmup:g} + {config.final_warmup:g}) times the "
            f"{warmup_steps} warm-up steps must be below the {total_steps} steps of training. Got {before + after:g}"
        )
    if step <= before:
        return config.initial_threshold
    if step > total_steps - after:
        return config.final_threshold
    remaining = 1 - (step - before) / (total_steps - before - after)
    return config.final_threshold + (config.initial_threshold - config.final_threshold) * remaining**3


def regularization(config: PruningConfig, scores: Iterable[Scores], threshold: float) -> Tensor | None:
    """The loss of the scores: half of each kind's (attention, dense) mean over its score tensors of the mean of
    sigma(s) (``l1``), or of the probability that a gate is open (``l0``), weighted. In halves, as in nn_pruning, whose
    published weights mean this.

    Args:
        threshold: of this step; the weight grows in proportion to it.

    Returns:
        A scalar, or None without regularization or scores.
    """
    if config.regularization == "disabled":
        return None
    shift = L0_SHIFT if config.regularization == "l0" else 0.0
    learned = [x for x in scores if x.scores is not None]
    # Where the final threshold is 0 (l0 alone), no threshold is at work.
    weight = config.regularization_final_lambda * (threshold / config.final_threshold if config.final_threshold else 1)
    total = None
    for kind, factor in (("attention", config.attention_lambda), ("dense", config.dense_lambda)):
        means = [torch.sigmoid(x.scores - shift).mean() for x in learned if x.kind == kind and x.scores is not None]
        if means:
            term = weight * factor / 2 * torch.stack(means).mean()
            total = term if total is None else total + term
    return total
