"""What an architecture is, and which ones there are. No torch here: importing takes well under a second."""

from .labels import LabelOrder
from .level import Level
from .next_level import next_level
from .operations import Names, Operation, WholeNumbers, operation_named, operations, register_operation
from .space import DesignSpace
from .spec import Head, Layer, ModelSpec
from .subarchitectures import Subarchitectures
from .version import __version__

__all__ = [
    "DesignSpace",
    "Head",
    "LabelOrder",
    "Layer",
    "Level",
    "ModelSpec",
    "Names",
    "Operation",
    "Subarchitectures",
    "WholeNumbers",
    "__version__",
    "next_level",
    "operation_named",
    "operations",
    "register_operation",
]
