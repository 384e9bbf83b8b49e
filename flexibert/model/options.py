"""Options of a configuration: misspelt names and wrong values are refused, each in one sentence.

``PreTrainedConfig`` takes every name and any value; a wrong one would fail far from where it was given, or not at all.
What somebody sets on a configuration later, as tools do for themselves, is saved with it, and its name in
``additional_options``, by which it is known when it is loaded.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral
from typing import Any

from transformers.activations import ACT2FN

ADDITIONAL = "additional_options"
LARGEST_SIZE = 10_000_000
"""Of a vocabulary or another table: far more than there is anywhere, and what a damaged file goes beyond."""
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


def unknown_names(options: Mapping[str, Any], known: Collection[str], title: str) -> list[str]:
    """A message for every option that the configuration called ``title`` does not know."""
    additional = options.get(ADDITIONAL) or ()
    if isinstance(additional, str):
        return [f"'{ADDITIONAL}' must be a list of names. Got {additional!r}"]
    problems = []
    for name in options:
        if not _is_known(name, known) and name not in additional:
            nearest = get_close_matches(name, known, n=1)
            hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
            problems.append(f"'{name}' is not an option of {title}{hint}")
    return problems


def with_additional(saved: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    """What is saved of a configuration, with the names of attributes that are no options."""
    additional = sorted(name for name in saved if not _is_known(name, known))
    return saved | ({ADDITIONAL: additional} if additional else {})


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
        f"'{name}' {rule}{beyond(getattr(config, name))}. Got {getattr(config, name)!r}"
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
    elif num_labels is not None and not least <= int(num_labels) <= LARGEST_SIZE:
        problems.append(f"'num_labels' must be at least {least}{beyond(num_labels)}. Got {num_labels}")
    if config.problem_type is not None and config.problem_type not in PROBLEM_TYPES:
        problems.append(f"'problem_type' must be one of {', '.join(PROBLEM_TYPES)}. Got {config.problem_type!r}")
    return problems


def is_size(value: object) -> bool:
    """Whether a value is a whole number above 0, up to ``LARGEST_SIZE``."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_SIZE


def beyond(value: object) -> str:
    """The bound of sizes, as a part of a message, where a value is too large."""
    return f", at most {LARGEST_SIZE:,}" if isinstance(value, int | float) and value > LARGEST_SIZE else ""


def wrong_texts(config: Any, *names: str) -> list[str]:
    """A sentence for every option that is neither None nor a list of texts."""
    found = [(name, getattr(config, name)) for name in names]
    return [
        f"'{name}' must be a list of texts. Got {value!r}"
        for name, value in found
        if value is not None and not (isinstance(value, list | tuple) and all(isinstance(text, str) for text in value))
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_activation(value: object) -> bool:
    return isinstance(value, str) and value in ACT2FN


def _is_known(name: str, known: Collection[str]) -> bool:
    return name in known or name == ADDITIONAL or name.startswith("_")
