"""Token mixing: one file per operation, the layers they make up, and the registry of them all.

An operation of one's own is a ``HeadOperation`` here and a ``design_space.Operation`` there; see ``docs/extending.md``.
"""

from .axes import Axis, Flops, Parameter
from .base import Mixing, OwnWeights
from .head_operations import head_operation, register_head_operation
from .operation import Attends, HeadInputs, HeadOperation, StandardLayer

__all__ = [
    "Attends",
    "Axis",
    "Flops",
    "HeadInputs",
    "HeadOperation",
    "Mixing",
    "OwnWeights",
    "Parameter",
    "StandardLayer",
    "head_operation",
    "register_head_operation",
]
