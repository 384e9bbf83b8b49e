"""Which layer of the source a layer of the target takes its weights from: the best assignment that keeps the order.

Ordered transfer stops at the first layer that does not match. Here layers are aligned like two texts, so that the
number of transferred parameters is largest; a layer without a partner becomes the identity as far as it can, and is
counted as not transferred.

The overlap is the share of the target's parameters that have a counterpart. Of an axis where source and target differ
in size, the smaller size counts, in all modes of transfer. Embeddings always count; of the layers those that have a
partner; ``proj_head`` where both models have one; the pooler, in the ordered modes only when every layer of the target
was matched, since it reads the last one. Task heads are outside. No torch.
"""

from functools import lru_cache
from typing import Any

from design_space import Layer, ModelSpec

from ..cost.parameters import count_parameters, next_widths
from ..mixing.axes import Sizes
from ..model.configuration_flexibert import CONSISTENT, check_mode
from .plan import check_formats, match_embeddings, match_heads, match_layers, match_poolers, transfer_plan

MIXING = ("attention.self.", "attention.output.dense.weight")
Alignment = tuple[int | None, ...]


@lru_cache(maxsize=65536)
def align_layers(source: ModelSpec, target: ModelSpec, sizes: Sizes) -> Alignment:
    """The partner in the source of each layer of the target, or None; partners keep their order.

    Of equally good alignments, the one whose first layers have partners first.

    Raises:
        ValueError: when the formats differ, or the models are grouped.
    """
    check_formats(source, target)
    gains = _gains(source, target, sizes)
    rows, columns = len(target.layers), len(source.layers)
    best = [[0] * (columns + 1) for _ in range(rows + 1)]  # best[i][j]: of target layers from i, source layers from j
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            best[i][j] = max(gains[i][j] + best[i + 1][j + 1], best[i + 1][j], best[i][j + 1])
    alignment: list[int | None] = []
    i = j = 0
    while i < rows:
        if j < columns and best[i][j] == gains[i][j] + best[i + 1][j + 1]:
            alignment.append(j)
            i, j = i + 1, j + 1
        elif j < columns and best[i][j] == best[i][j + 1]:
            j += 1
        else:
            alignment.append(None)
            i += 1
    return tuple(alignment)


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
    return _overlap(source, target, Sizes.of(config), pooler, mode == CONSISTENT)


@lru_cache(maxsize=65536)
def _overlap(source: ModelSpec, target: ModelSpec, sizes: Sizes, pooler: bool, is_consistent: bool) -> float:
    plan = transfer_plan(source, target)
    alignment = align_layers(source, target, sizes) if is_consistent else range(plan.num_layers)
    theirs, ours = (list(zip(spec.layers, next_widths(spec), strict=True)) for spec in (source, target))
    first, last = ((source.layers[i].hidden_size, target.layers[i].hidden_size) for i in (0, -1))
    filled = sum(match.numel for match in match_embeddings(*first, sizes))
    if pooler and (is_consistent or plan.is_complete):
        filled += sum(match.numel for match in match_poolers(*last))
    is_hetero = target.format == "hetero"
    filled += sum(_gain(*theirs[j], *ours[i], is_hetero, sizes) for i, j in enumerate(alignment) if j is not None)
    return filled / count_parameters(target, sizes, pooler=pooler)


def _gains(source: ModelSpec, target: ModelSpec, sizes: Sizes) -> list[list[int]]:
    """The number of parameters that correspond, for every layer of the target and of the source."""
    theirs, ours = (list(zip(spec.layers, next_widths(spec), strict=True)) for spec in (source, target))
    is_hetero = target.format == "hetero"
    return [[_gain(*source_layer, *target_layer, is_hetero, sizes) for source_layer in theirs] for target_layer in ours]


@lru_cache(maxsize=65536)
def _gain(source: Layer, source_next: int, target: Layer, target_next: int, is_hetero: bool, sizes: Sizes) -> int:
    has_heads = bool(match_heads(source, target))
    matches = match_layers(source, target, source_next, target_next, is_hetero, sizes)
    return sum(match.numel for match in matches if has_heads or not match.target.role.startswith(MIXING))
