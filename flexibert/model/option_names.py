"""Names of a configuration's options: misspelt ones are refused, attributes that were set are kept.

``PreTrainedConfig`` would take every name silently. What somebody sets on a configuration later, as tools do for
themselves, is saved with it, and its name in ``additional_options``, by which it is known when it is loaded.
"""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

ADDITIONAL = "additional_options"


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


def _is_known(name: str, known: Collection[str]) -> bool:
    return name in known or name == ADDITIONAL or name.startswith("_")
