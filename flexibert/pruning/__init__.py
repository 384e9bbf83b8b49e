"""Pruning: masks that learn what to remove, and removal down to models that are smaller and faster."""

from .compaction import Kept
from .config import PruningConfig
from .families import Family
from .pruner import MovementPruner

__all__ = ["Family", "Kept", "MovementPruner", "PruningConfig"]
