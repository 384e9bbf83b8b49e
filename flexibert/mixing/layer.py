"""The token mixing of one layer in either format: its module, its parameters, its work."""

from typing import Any

from design_space import Layer

from .axes import Flops, Parameter, Sizes
from .base import Mixing
from .head_operations import head_operation
from .hetero import HeteroMixing, hetero_flops, hetero_parameters
from .operation import StandardLayer


def build_mixing(layer: Layer, config: Any, is_hetero: bool) -> Mixing:
    """The module ``attention.self`` of a layer."""
    standard = standard_layer(layer, is_hetero)
    return HeteroMixing(layer, config) if standard is None else standard.build(layer, config)


def mixing_parameters(layer: Layer, is_hetero: bool, sizes: Sizes) -> list[Parameter]:
    """Its parameters, and those of ``attention.output.dense``; names start with ``attention.``."""
    standard = standard_layer(layer, is_hetero)
    return list(hetero_parameters(layer, sizes)) if standard is None else standard.parameters(layer, sizes)


def mixing_flops(layer: Layer, is_hetero: bool, length: int, positions: str) -> Flops:
    """Its work for one sequence of ``length`` tokens, without ``attention.output.dense``."""
    standard = standard_layer(layer, is_hetero)
    if standard is None:
        return hetero_flops(layer, length, positions)
    return standard.flops(layer, length, positions)


def standard_layer(layer: Layer, is_hetero: bool) -> StandardLayer | None:
    """How a layer is built that is more than its heads side by side; None where it is not."""
    return None if is_hetero else head_operation(layer.heads[0].operation).standard()
