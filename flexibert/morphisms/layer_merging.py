"""Merging layers: one fresh layer learns what two in a row do (simplifying-transformers).

The layer gets the teacher's states that enter layer i and learns those that leave layer i + 1. With every second pair
merged the model has half the layers; it is then fine-tuned as a whole, like any other.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from design_space import Head, Layer, ModelSpec

from ..checkpoints.model_card import add_to_lineage
from ..mixing.attention import Padding
from .assembly import AnyModel, Part, assembled, parts_of
from .block_retraining import Batch, Training, check_teacher, fresh_layer, real_mean_square, train


def merge_layers(
    teacher: AnyModel,
    batches: Iterable[Batch],
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    num_heads: int | None = None,
    head_size: int | None = None,
    training: Training | None = None,
) -> AnyModel:
    """The teacher with pairs of layers merged into one each.

    Args:
        teacher: any FlexiBERT model of text; not changed. A BERT is converted by ``from_bert``.
        batches: token ids (B, S), or mappings with ``input_ids`` and ``attention_mask``; without labels.
        pairs: (i, i + 1) each; default: (0, 1), (2, 3), ...
        num_heads: self-attention heads of a merged layer; default: as many as the pair's second layer has.
        head_size: default: the pair's second layer's.
        training: of each layer; default: ``Training()``.

    Raises:
        ValueError: when pairs overlap, are not neighbors, differ in width or run past the end; when the new
            architecture cannot be written (see ``assembled``); or when a loss is not finite.
    """
    training = training or Training()
    check_teacher(teacher, [])
    layers = teacher.config.model_spec.layers
    chosen = _every_second_pair(layers) if pairs is None else list(pairs)
    _check_pairs(chosen, layers)
    kept = list(batches)
    parts: dict[int, Part] = {}
    for first, second in sorted(chosen):
        new_layer = _merged_layer(layers[second], num_heads, head_size)
        module = fresh_layer(teacher, new_layer, second, training.seed)
        pair = teacher.base_model.encoder.layer[first : second + 1]

        def loss_of(x_BSH: Tensor, padding: Padding, pair=pair, module=module) -> Tensor:  # type: ignore[no-untyped-def]
            with torch.no_grad():
                between, _ = pair[0](x_BSH, padding, False)
                wanted, _ = pair[1](between, padding, False)
            got, _ = module(x_BSH, padding, False)
            return real_mean_square(got, wanted, padding)

        train(list(module.parameters()), teacher, first, kept, loss_of, training, f"layers {first} and {second}")
        parts[first] = Part(new_layer, module)
    seconds = {second for _, second in chosen}
    old = parts_of(teacher)
    merged = assembled(teacher, [parts.get(i, part) for i, part in enumerate(old) if i not in seconds])
    add_to_lineage(merged, f"Layers merged in pairs: {sorted(chosen)}.", [teacher])
    return merged


def merged_spec(spec: ModelSpec) -> ModelSpec:
    """The architecture that ``merge_layers`` makes of ``spec`` by default, without building anything.

    Raises:
        ValueError: as ``merge_layers``.
    """
    if spec.groups:
        raise ValueError("A grouped architecture cannot be merged")
    pairs = _every_second_pair(spec.layers)
    _check_pairs(pairs, spec.layers)
    merged = [_merged_layer(spec.layers[second], None, None) for _, second in pairs]
    return ModelSpec((*merged, *spec.layers[2 * len(pairs) :]), spec.format)


def _every_second_pair(layers: Sequence[Layer]) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(0, len(layers) - 1, 2)]


def _merged_layer(layer: Layer, num_heads: int | None, head_size: int | None) -> Layer:
    """What a pair becomes whose second layer is ``layer``."""
    count = len(layer.heads) if num_heads is None else num_heads
    heads = (Head.dot_product_attention(layer.head_size if head_size is None else head_size),) * count
    return Layer(layer.hidden_size, heads, layer.feed_forward)


def _check_pairs(pairs: Sequence[tuple[int, int]], layers: Sequence[Layer]) -> None:
    problems = []
    taken: set[int] = set()
    if not pairs:
        problems.append("there must be one pair or more")
    for pair in pairs:
        if len(pair) != 2 or pair[1] != pair[0] + 1:
            problems.append(f"{tuple(pair)} are not neighbors")
            continue
        if not 0 <= pair[0] < pair[1] < len(layers):
            problems.append(f"{tuple(pair)} is outside the teacher's layers 0 to {len(layers) - 1}")
            continue
        if taken & set(pair):
            problems.append(f"{tuple(pair)} overlaps another pair")
        if layers[pair[0]].hidden_size != layers[pair[1]].hidden_size:
            widths = [layers[i].hidden_size for i in pair]
            problems.append(f"{tuple(pair)} differ in width, {widths[0]} and {widths[1]}")
        taken |= set(pair)
    if problems:
        raise ValueError("'pairs' must be pairs of neighboring layers, each layer once: " + "; ".join(problems))
