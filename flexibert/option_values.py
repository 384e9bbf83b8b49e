"""Values of a configuration's options: wrong types and values, each told in one sentence.

``PreTrainedConfig`` takes any value; a wrong one would fail far from where it was given, or not at all.
"""

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

from transformers.activations import ACT2FN

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


def problems_of_flags(config: Any, names: Sequence[str]) -> list[str]:
    """Of options that are true or false."""
    return _problems(config, names, lambda value: isinstance(value, bool), "must be true or false")


def problems_of_sizes(config: Any, names: Sequence[str]) -> list[str]:
    """Of whole numbers above 0."""
    return _problems(config, names, is_size, "must be a whole number above 0")


def problems_of_shares(config: Any, names: Sequence[str]) -> list[str]:
    """Of probabilities of dropout."""
    return _problems(config, names, lambda value: _is_number(value) and 0 <= value < 1, "must be in [0, 1)")


def problems_of_amounts(config: Any, names: Sequence[str]) -> list[str]:
    """Of finite numbers of 0 or more."""
    rule = "must be a number of 0 or more"
    return _problems(config, names, lambda value: _is_number(value) and 0 <= value < math.inf, rule)


def problems_of_activations(config: Any, names: Sequence[str]) -> list[str]:
    """Of names of activations."""
    rule = "must be an activation of transformers, such as 'gelu'"
    return _problems(config, names, lambda value: isinstance(value, str) and value in ACT2FN, rule)


def problems_of_labels(config: Any, num_labels: Any, *, least: int = 1) -> list[str]:
    """Of what is classified.

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


def _problems(config: Any, names: Sequence[str], is_right: Callable[[Any], bool], rule: str) -> list[str]:
    return [f"'{name}' {rule}. Got {getattr(config, name)!r}" for name in names if not is_right(getattr(config, name))]
