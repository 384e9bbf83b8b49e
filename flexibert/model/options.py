"""Values of a configuration's options: wrong types and values, each told in one sentence.

``PreTrainedConfig`` takes any value; a wrong one would fail far from where it was given, or not at all.
"""

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

from transformers.activations import ACT2FN

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


def wrong_values(
    config: Any,
    *,
    flags: Sequence[str],
    sizes: Sequence[str],
    shares: Sequence[str],
    amounts: Sequence[str],
    activations: Sequence[str],
) -> list[str]:
    """A sentence for every option with a wrong value.

    Args:
        flags: options that are true or false. sizes: whole numbers above 0. shares: probabilities of dropout.
        amounts: finite numbers of 0 or more. activations: names.
    """
    rules: list[tuple[Sequence[str], Callable[[Any], bool], str]] = [
        (flags, lambda value: isinstance(value, bool), "must be true or false"),
        (sizes, is_size, "must be a whole number above 0"),
        (shares, lambda value: _is_number(value) and 0 <= value < 1, "must be in [0, 1)"),
        (amounts, lambda value: _is_number(value) and 0 <= value < math.inf, "must be a number of 0 or more"),
        (activations, _is_activation, "must be an activation of transformers, such as 'gelu'"),
    ]
    return [
        f"'{name}' {rule}. Got {getattr(config, name)!r}"
        for names, is_right, rule in rules
        for name in names
        if not is_right(getattr(config, name))
    ]


def wrong_labels(config: Any, num_labels: Any, *, least: int = 1) -> list[str]:
    """A sentence for everything that is wrong with what is classified.

    Args:
        num_labels: as it was given; None where it was not. It may differ from ``id2label``'s, of a folder whose head is
            made anew.
        least: labels.
    """
    problems = []
    if num_labels is not None and (not isinstance(num_labels, Integral) or isinstance(num_labels, bool)):
        problems.append(f"'num_labels' must be a whole number. Got {num_labels!r}")
    elif num_labels is not None and num_labels < least:
        problems.append(f"'num_labels' must be at least {least}. Got {num_labels}")
    if config.problem_type is not None and config.problem_type not in PROBLEM_TYPES:
        problems.append(f"'problem_type' must be one of {', '.join(PROBLEM_TYPES)}. Got {config.problem_type!r}")
    return problems


def is_size(value: object) -> bool:
    """Whether a value is a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_activation(value: object) -> bool:
    return isinstance(value, str) and value in ACT2FN
