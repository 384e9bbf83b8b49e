"""Compaction makes, of a model with zeros, a dense smaller one that computes the same.

What goes: a head whose output columns are 0, or whose values are constant (their share of the output is then a bias);
a neuron that nothing reads, or whose value is constant (likewise); a layer that has become an identity. A layer that
lost every head or neuron, and is no identity, keeps one, of no effect. What is left is written in the hetero format
as soon as a head is gone.

Heads of the standard operations ``l`` and ``c`` cannot go: there a transform or convolution reads all channels. A
model that has such a layer keeps the standard format, in which heads and width belong together, and so every head;
neurons go all the same.
Shapes: H hidden size, D head size, F feed-forward width.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from design_space import Layer, ModelSpec
from design_space.subarchitectures import has_removable_heads

from ..cost.parameters import mixing_names
from ..mixing import head_operation
from ..mixing.axes import Axis
from ..model.modeling_flexibert import FlexiBERTModel
from ..vision.modeling_flexivit import FlexiViTModel, FlexiViTPreTrainedModel
from .spec_space import child_spec, parameters_of_layers


@dataclass(frozen=True)
class KeptStructure:
    """What stays of one layer: places of the heads and, per inner width of the feed-forward stack, of the neurons."""

    heads: list[int]
    neurons: list[list[int]]
    is_removed: bool = False

    def indices(self, axis: Axis) -> Tensor:
        """The entries that stay along an axis of one of the layer's parameters (see ``mixing.axes``)."""
        if axis.kind == "heads":
            return (torch.tensor(self.heads).unsqueeze(1) * axis.size + torch.arange(axis.size)).flatten()
        if axis.kind.startswith("ff"):
            return torch.tensor(self.neurons[-1 if axis.kind == "ff_last" else int(axis.kind.removeprefix("ff"))])
        return torch.arange(axis.length)


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


def submodel_spec(spec: ModelSpec, kept: list[KeptStructure]) -> ModelSpec:
    """The spec of what is kept; hetero once a head is gone."""
    stay = [(layer, of_layer) for layer, of_layer in zip(spec.layers, kept, strict=True) if not of_layer.is_removed]
    return child_spec(
        ModelSpec(tuple(layer for layer, _ in stay), spec.format),
        [of_layer.heads for _, of_layer in stay],
        [tuple(len(neurons) for neurons in of_layer.neurons) for _, of_layer in stay],
    )


@torch.no_grad()
def extract_submodel(model: Any, kept: list[KeptStructure]) -> Any:
    """A new model of the same class with what is kept of ``model``, which is not changed."""
    spec = model.config.model_spec
    config = copy.deepcopy(model.config)
    small_spec = submodel_spec(spec, kept)
    config.model_dict = small_spec.to_dict()
    config._attn_implementation = model.config._attn_implementation
    has_choice = type(model) in (FlexiBERTModel, FlexiViTModel)
    options = {"add_pooling_layer": model.base_model.pooler is not None} if has_choice else {}
    small = type(model)(config, **options)
    small.transfer_mode = model.transfer_mode
    formats = spec.format == "hetero", small_spec.format == "hetero"
    source = dict(model.named_parameters(remove_duplicate=False))
    prefix = next(name for name in source if "encoder.layer." in name).partition("encoder.layer.")[0]
    target = {name: x for name, x in source.items() if not name.startswith(f"{prefix}encoder.layer.")}
    parameters = parameters_of_layers(spec, config)
    number = 0
    for place, (layer, of_layer) in enumerate(zip(spec.layers, kept, strict=True)):
        if of_layer.is_removed:
            continue
        start = f"{prefix}encoder.layer.{place}."
        own = {name.removeprefix(start): x for name, x in source.items() if name.startswith(start)}
        axes = {parameter.name: parameter.axes for parameter in parameters[place]}
        origins = {name: name for name in own if not name.startswith("attention.self.")}
        origins |= mixing_names(layer, small_spec.layers[number], *formats, of_layer.heads)
        for name, origin in origins.items():
            if origin in own:  # unlike the bias of a model without
                target[f"{prefix}encoder.layer.{number}.{name}"] = _cut(own[origin], axes.get(origin, ()), of_layer)
        number += 1
    for name, parameter in small.named_parameters(remove_duplicate=False):
        parameter.copy_(target[name])
    return small.to(device=model.device, dtype=model.dtype).train(model.training)


def _cut(tensor: Tensor, axes: tuple[Axis, ...], kept: KeptStructure) -> Tensor:
    for dimension, axis in enumerate(axes):
        tensor = tensor.index_select(dimension, kept.indices(axis).to(tensor.device))
    return tensor


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
