"""Compaction finds, in a model with zeros, the dense smaller one that computes the same (``extraction.py`` builds it).

What goes: a head whose output columns are 0, or whose values are constant (their share of the output is then a bias);
a neuron that nothing reads, or whose value is constant (likewise); a layer that has become an identity. A layer that
lost every head or neuron, and is no identity, keeps one, of no effect. What is left is written in the hetero format
as soon as a head is gone.

Heads of the standard operations ``l`` and ``c`` cannot go: there a transform or convolution reads all channels. A
model that has such a layer keeps the standard format, in which heads and width belong together, and so every head;
neurons go all the same.
Shapes: H hidden size, D head size, F feed-forward width.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from design_space import Layer
from design_space.subarchitectures import has_removable_heads

from ..mixing import head_operation
from ..vision.modeling_flexivit import FlexiViTPreTrainedModel
from .extraction import KeptStructure


@torch.no_grad()
def structure_of(model: Any) -> list[KeptStructure]:
    """What must stay of every layer. Constants are moved into biases, in place: the model computes the same."""
    spec = model.config.model_spec
    removable = has_removable_heads(spec)
    found = []
    for layer, module in zip(spec.layers, model.base_model.encoder.layer, strict=True):
        heads = _kept_heads(layer, module) if removable else list(range(len(layer.heads)))
        found.append(KeptStructure(heads, _kept_neurons(module)))
    return _without_identities(model, found)


def _kept_heads(layer: Layer, module: Any) -> list[int]:
    value, output = module.attention.self.value, module.attention.output.dense
    kept = []
    for place, head in enumerate(layer.heads):
        channels = slice(place * head.size, (place + 1) * head.size)
        columns = output.weight[:, channels]
        bias = None if value.bias is None else value.bias[channels]
        is_constant = not value.weight[channels].any()
        operation = head_operation(head.operation)
        # Attention weights add up to 1, so constant values are the context itself; what is mixed of them need not be
        # constant.
        if is_constant and not operation.mixes and bias is not None and columns.any():
            output.bias += columns @ bias
            columns.zero_()
        if is_constant and operation.maps_zero_to_zero and (bias is None or not bias.any()):
            columns.zero_()
        if columns.any():
            kept.append(place)
    return kept or [0]


def _kept_neurons(module: Any) -> list[list[int]]:
    """The neurons to keep of each inner width. One that goes may free others before or after it: the search repeats."""
    stack = [x for x in module.intermediate.sequential if isinstance(x, nn.Linear)] + [module.output.dense]
    activation = next(x for x in module.intermediate.sequential if not isinstance(x, nn.Linear))
    alive = [torch.ones(linear.out_features, dtype=torch.bool, device=linear.weight.device) for linear in stack[:-1]]
    is_changed = True
    while is_changed:
        is_changed = False
        for number, mask in enumerate(alive):
            before, after = stack[number], stack[number + 1]
            is_constant = mask & ~before.weight.any(1)
            if is_constant.any():
                after.bias += after.weight[:, is_constant] @ activation(before.bias[is_constant])
                after.weight[:, is_constant] = 0
            gone = mask & ~after.weight.any(0)
            if gone.any():
                before.weight[gone] = 0
                mask[gone] = False
                is_changed = True
    return [mask.nonzero().flatten().tolist() or [0] for mask in alive]


def _without_identities(model: Any, kept: list[KeptStructure]) -> list[KeptStructure]:
    """Marks layers that are identities as removed, as long as one stays, and puts what they add into what precedes
    them."""
    is_image_model = isinstance(model, FlexiViTPreTrainedModel)
    previous: Any = None
    result = []
    left = len(kept)
    for module, of_layer in zip(model.base_model.encoder.layer, kept, strict=True):
        is_empty = not module.attention.output.dense.weight.any() and not module.output.dense.weight.any()
        is_removed = is_empty and module.output.proj_head is None and left > 1
        if is_removed and is_image_model:
            _absorb_constant(model, previous, module)
        elif is_removed:
            is_removed = _absorb_norm(model, previous, module)
        left -= is_removed
        previous = previous if is_removed else module
        result.append(replace(of_layer, is_removed=is_removed))
    return result


def _absorb_constant(model: Any, previous: Any, module: Any) -> None:
    """Lets the previous layer (or the positions) add the constant vector that a pre-norm layer adds."""
    constant = module.attention.output.dense.bias + module.output.dense.bias
    if previous is None:
        model.base_model.embeddings.position_embeddings += constant
        return
    linear = previous.output.dense if previous.output.proj_head is None else previous.output.proj_head
    linear.bias += constant


def _absorb_norm(model: Any, previous: Any, module: Any) -> bool:
    """Replaces the LayerNorm before a post-norm layer, which is two more of them, by the last one; returns whether the
    others scale all entries alike, without which it cannot: they do before training."""
    embeddings = model.base_model.embeddings
    projection = embeddings.projection if previous is None else previous.output.proj_head
    if projection is not None:
        return False
    before = embeddings.LayerNorm if previous is None else previous.output.LayerNorm
    inner = module.attention.output.LayerNorm
    vectors = [before.weight, before.bias, inner.weight, inner.bias]
    vectors += [module.attention.output.dense.bias, module.output.dense.bias]
    is_plain = all(bool((vector == vector[0]).all()) for vector in vectors)
    if not is_plain or before.weight[0] <= 0 or inner.weight[0] <= 0:
        return False
    before.weight.copy_(module.output.LayerNorm.weight)
    before.bias.copy_(module.output.LayerNorm.bias)
    return True
