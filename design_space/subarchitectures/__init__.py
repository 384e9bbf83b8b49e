"""What a larger architecture holds: its parts, as a space."""

from .parts import has_removable_heads, neuron_multiple, part_of
from .points import largest_share
from .subarchitectures import Subarchitectures

__all__ = ["Subarchitectures", "has_removable_heads", "largest_share", "neuron_multiple", "part_of"]
