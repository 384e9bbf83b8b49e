"""The fixed order of vertex labels, along which substituting one label for another costs the distance between their
places.

Order (from the original library): ``input`` 0, ``output`` 1, ``add_norm`` 2, a gap, ``f{width}`` by ascending width,
a gap, then the heads of each operation in the order of their places (``operations.py``: ``l``, ``sa``, ``c``, then the
user's own), by ascending hidden size and within it by parameter, with a gap before each operation. Heads of the hetero
format come after the standard ones of their operation, by head size.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from .operations import CONVOLUTION, LINEAR_TRANSFORM, SELF_ATTENTION, operation_named, operations

GAP = ""
_FIXED = ("input", "output", "add_norm", GAP)
_ALWAYS = (LINEAR_TRANSFORM, SELF_ATTENTION, CONVOLUTION)  # their gaps stand even where they have no labels


@dataclass(frozen=True)
class LabelOrder:
    """Labels by place; ``GAP`` where a place is left empty."""

    labels: tuple[str, ...]

    @staticmethod
    def of(labels: Iterable[str]) -> "LabelOrder":
        """The order of these labels (each once; the three fixed ones are always there)."""
        distinct = set(labels) - set(_FIXED)
        widths = sorted(
            (label for label in distinct if label[0] == "f" and label[1:].isdecimal()), key=lambda label: int(label[1:])
        )
        heads = [_parse(label) for label in distinct - set(widths)]
        order = [*_FIXED, *widths]
        for operation in sorted(operations(), key=lambda operation: (operation.place, operation.name)):
            of_operation = sorted(head for head in heads if head[0][0] == operation.name)
            if of_operation or operation.name in _ALWAYS:
                order += [GAP, *(label for _, label in of_operation)]
        return LabelOrder(tuple(order))

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """Label -> place."""
        return {label: place for place, label in enumerate(self.labels) if label != GAP}

    def extended(self, labels: Iterable[str]) -> "LabelOrder":
        """This order if it knows all ``labels``, else the order of both together."""
        labels = set(labels)
        return self if labels <= self.positions.keys() else LabelOrder.of({*self.positions, *labels})


def _parse(label: str) -> tuple[tuple[str, int, int, int], str]:
    """Sort key (group, format, size, parameter) of a head label, beside the label."""
    if "_p-" in label:
        operation, hidden, parameter = label.replace("_p-", "_").split("_")
        key = (operation, 0, int(hidden[1:]))
    else:
        operation, parameter, size = label.split("_")
        key = (operation, 1, int(size))
    return (*key, operation_named(operation).rank(parameter)), label
