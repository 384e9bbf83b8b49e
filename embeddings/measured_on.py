"""What a library's scores of a task were measured on, so that those of two tasks of one name are not taken for each
other."""

from collections.abc import Mapping
from pathlib import Path

MeasuredOn = Mapping[str, Mapping[str, str]]
"""Task -> metric and digests of the data, by name."""


def check_measured_on(
    performances: Mapping[str, Mapping[str, float]], known: MeasuredOn, wanted: MeasuredOn, path: Path | str
) -> None:
    """Whether scores of some tasks may stand beside those that are there. Of older scores nothing is known: they may.

    Raises:
        ValueError: when there are scores of a task that were measured on something else.
    """
    for task, identity in wanted.items():
        different = differences(known.get(task, {}), identity)
        if different and any(task in scores for scores in performances.values()):
            raise ValueError(
                f"{path} holds scores of another task of the name '{task}': different {', '.join(different)}. Rename "
                "the task's file, or search a library without these scores (a copy of it as generate_library made it)"
            )


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Names of what both say, and say otherwise."""
    return [name for name in here if name in there and there[name] != here[name]]
