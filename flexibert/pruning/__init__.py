"""Pruning: masks that learn what to remove, and removal down to models that are smaller and faster."""

from .config import PruningConfig
from .extraction import KeptStructure
from .families import Family
from .one_shot import prune
from .pruner import MovementPruner
from .report import DensityReport, report_of_specs
from .shrinker import Shrinker
from .spec_space import holds, linear_weights, prune_spec

__all__ = [
    "DensityReport",
    "Family",
    "KeptStructure",
    "MovementPruner",
    "PruningConfig",
    "Shrinker",
    "holds",
    "linear_weights",
    "prune",
    "prune_spec",
    "report_of_specs",
]
