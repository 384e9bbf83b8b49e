"""How much of one architecture's weights another can take over: the share of its parameters. No torch.

Of an axis where source and target differ in size, the smaller size counts, in all modes of transfer. Embeddings always
count; of the layers those that have a partner; ``proj_head`` where both models have one; the pooler, in the ordered
modes only when every layer of the target was matched, since it reads the last one. Task heads are outside.
"""

from functools import lru_cache
from typing import Any

from design_space import Layer, ModelSpec

from ..cost.parameters import count_parameters, next_widths
from ..mixing.axes import Sizes
from ..model.configuration_flexibert import CONSISTENT, check_mode
from .layer_alignment import consistent_overlap
from .plan import match_embeddings, match_layers, match_poolers, transfer_plan


def transfer_overlap(
    source: ModelSpec, target: ModelSpec, config: Any = None, *, pooler: bool = True, mode: str = CONSISTENT
) -> float:
    """The share of the target encoder's parameters that a transfer fills, without building either network.

    Args:
        source: where weights come from.
        target: where they go.
        config: a ``FlexiBERTConfig`` to take vocabulary, positions and segments from. Default: its defaults.
        pooler: whether both models have a pooler.
        mode: of transfer; ``OD`` and ``RP`` match layers in order, ``consistent`` by the best assignment.

    Returns:
        In [0, 1]; 1 for equal specs. The same number that ``load_model_from_source`` returns.

    Raises:
        ValueError: when the formats differ.
    """
    check_mode(mode)
    if mode == CONSISTENT:
        return consistent_overlap(source, target, Sizes.of(config), pooler)
    return _transfer_overlap(source, target, Sizes.of(config), pooler)


@lru_cache(maxsize=65536)
def _transfer_overlap(source: ModelSpec, target: ModelSpec, sizes: Sizes, pooler: bool) -> float:
    plan = transfer_plan(source, target)
    first, last = (source.layers[0].hidden_size, target.layers[0].hidden_size), (source.layers[-1], target.layers[-1])
    filled = sum(match.numel for match in match_embeddings(*first, sizes))
    if plan.is_complete and pooler:
        filled += sum(match.numel for match in match_poolers(last[0].hidden_size, last[1].hidden_size))
    is_hetero = target.format == "hetero"
    widths = zip(next_widths(source), next_widths(target), strict=False)
    layers = zip(source.layers, target.layers, widths, range(plan.num_layers), strict=False)
    filled += sum(
        _count_filled(source_layer, target_layer, *pair, is_hetero, sizes)
        for source_layer, target_layer, pair, _ in layers
    )
    return filled / count_parameters(target, sizes, pooler=pooler)


@lru_cache(maxsize=65536)
def _count_filled(
    source: Layer, target: Layer, source_next: int, target_next: int, is_hetero: bool, sizes: Sizes
) -> int:
    return sum(match.numel for match in match_layers(source, target, source_next, target_next, is_hetero, sizes))
