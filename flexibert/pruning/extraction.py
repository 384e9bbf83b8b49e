"""A smaller model with chosen parts of a larger one: layers, heads, neurons, channels of the residual stream.

Every parameter says by its axes (``mixing.axes``) what is along them, so that a part of a model is a selection of
entries. Where a child has ``proj_head`` between two layers and its parent none there, or others, it is what lies
between these layers in the parent. The child need not compute what the parent does: ``repair.py`` brings it near.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from design_space import Layer, ModelSpec

from ..cost.parameters import mixing_names
from ..mixing.axes import Axis
from ..model.heads import has_tied_decoder
from ..model.modeling_flexibert import FlexiBERTModel
from ..vision.modeling_flexivit import FlexiViTModel
from .spec_space import child_spec, parameters_of_layers

PROJECTION = "output.proj_head"


@dataclass(frozen=True)
class KeptStructure:
    """What stays of one layer.

    Attributes:
        heads: their places, in the order in which the child has them.
        neurons: per inner width of the feed-forward stack, places of neurons.
        is_removed: whether the layer goes as a whole.
        channels: places in the layer's residual stream; None: all.
    """

    heads: list[int]
    neurons: list[list[int]]
    is_removed: bool = False
    channels: list[int] | None = None

    def indices(self, axis: Axis) -> Tensor:
        """The entries that stay along an axis of one of the layer's parameters (see ``mixing.axes``)."""
        if axis.kind == "heads":
            return (torch.tensor(self.heads).unsqueeze(1) * axis.size + torch.arange(axis.size)).flatten()
        if axis.kind.startswith("ff"):
            return torch.tensor(self.neurons[-1 if axis.kind == "ff_last" else int(axis.kind.removeprefix("ff"))])
        if axis.kind == "residual" and self.channels is not None:
            return torch.tensor(self.channels)
        return torch.arange(axis.length)

    def channels_of(self, layer: Layer) -> list[int]:
        """The channels that stay of the residual stream of ``layer``."""
        return list(range(layer.hidden_size)) if self.channels is None else self.channels


def submodel_spec(spec: ModelSpec, kept: list[KeptStructure]) -> ModelSpec:
    """The spec of what is kept, with all channels; hetero once a head is gone."""
    stay = [(layer, of_layer) for layer, of_layer in zip(spec.layers, kept, strict=True) if not of_layer.is_removed]
    return child_spec(
        ModelSpec(tuple(layer for layer, _ in stay), spec.format),
        [of_layer.heads for _, of_layer in stay],
        [tuple(len(neurons) for neurons in of_layer.neurons) for _, of_layer in stay],
    )


@torch.no_grad()
def extract_submodel(model: Any, kept: list[KeptStructure], spec: ModelSpec | None = None) -> Any:
    """A new model of the same class with what is kept of ``model``, which is not changed.

    Args:
        kept: per layer of ``model``.
        spec: of the new model; default: ``submodel_spec``.
    """
    config = copy.deepcopy(model.config)
    spec = spec or submodel_spec(config.model_spec, kept)
    config.model_dict = spec.to_dict()
    config._attn_implementation = model.config._attn_implementation
    has_choice = type(model) in (FlexiBERTModel, FlexiViTModel)
    options = {"add_pooling_layer": model.base_model.pooler is not None} if has_choice else {}
    with torch.device("meta"):  # start values of a large table take longer than all else
        small = type(model)(config, **options)
    small.transfer_mode = model.transfer_mode
    values = _values(model, spec, kept)
    for name, parameter in list(small.named_parameters(remove_duplicate=False)):
        assert values[name].shape == parameter.shape, name
        module, _, leaf = name.rpartition(".")
        setattr(small.get_submodule(module), leaf, nn.Parameter(values[name].clone()))
    small.tie_weights()
    return small.train(model.training)


class Origin(NamedTuple):
    """What a parameter of the child is cut from, what stays along its axes (None: everything), and whether it is the
    matrix of a Linear that reads a layer's residual stream."""

    value: Tensor
    places: Sequence[list[int] | None]
    reads_stream: bool = False

    def taken(self, *, reads_all: bool = False) -> Tensor:
        """The entries that stay; zeros where the parent, of another width there than its layer, has none.

        Args:
            reads_all: whether everything stays along the second axis, which a matrix reads.
        """
        taken = self.value
        for dimension, places in enumerate(self.places[:1] if reads_all else self.places):
            if places is not None:
                missing = max(places) + 1 - taken.shape[dimension]
                if missing > 0:
                    shape = [*taken.shape[:dimension], missing, *taken.shape[dimension + 1 :]]
                    taken = torch.cat([taken, taken.new_zeros(shape)], dimension)
                taken = taken.index_select(dimension, torch.tensor(places, device=taken.device))
        return taken


def places_of(kept: list[KeptStructure]) -> list[int]:
    """The layers that stay."""
    return [place for place, of_layer in enumerate(kept) if not of_layer.is_removed]


def prefix_of(model: Any) -> str:
    """What names of the encoder's parameters begin with."""
    return "" if model.base_model is model else f"{model.base_model_prefix}."


def layer_origins(model: Any, spec: ModelSpec, kept: list[KeptStructure]) -> list[dict[str, Origin]]:
    """Per layer of the child, of architecture ``spec``, the origin of each parameter but those of ``proj_head``."""
    parent = model.config.model_spec
    formats = parent.format == "hetero", spec.format == "hetero"
    parameters, of_child = (parameters_of_layers(each, model.config) for each in (parent, spec))
    found = []
    for place, layer, own_parameters in zip(places_of(kept), spec.layers, of_child, strict=True):
        own = dict(model.base_model.encoder.layer[place].named_parameters(remove_duplicate=False))
        axes = {parameter.name: parameter.axes for parameter in parameters[place]}
        names = {name: name for name in own if not name.startswith(("attention.self.", PROJECTION))}
        names |= mixing_names(parent.layers[place], layer, *formats, kept[place].heads)
        there = {parameter.name for parameter in own_parameters}
        origins = {}
        for name, origin in names.items():
            # A model may be without a bias, and heads that are left may read fewer projections than all did.
            if origin in own and (name in there or not name.startswith("attention.self.")):
                # Only the LayerNorms of image models have names of their own.
                described = axes.get(origin) or (Axis("residual", len(own[origin])),)
                along = [kept[place].indices(axis).tolist() for axis in described]
                reads_stream = len(along) == 2 and described[1].kind == "residual"
                origins[name] = Origin(own[origin], along, reads_stream)
        found.append(origins)
    return found


def outer_origins(model: Any, kept: list[KeptStructure]) -> dict[str, Origin]:
    """The origin of each parameter outside the layers. Of the pooler and of the masked-LM transform, units with the
    numbers of the last layer's channels stay; of a transform that speaks to a decoder of word vectors, the embeddings'
    channels."""
    parent, prefix, places = model.config.model_spec, prefix_of(model), places_of(kept)
    first, last = (kept[places[end]].channels_of(parent.layers[places[end]]) for end in (0, -1))
    words = [*first, *sorted(set(last) - set(first))][: len(last)] if has_tied_decoder(model) else last
    pooler = model.base_model.pooler
    has_own_size = pooler is not None and pooler.dense.out_features != parent.layers[-1].hidden_size
    found = {}
    for name, value in model.named_parameters(remove_duplicate=False):
        part = name.removeprefix(prefix)
        along: list[list[int] | None]
        if part.startswith("encoder.layer."):
            continue
        if part.startswith("embeddings."):
            is_written = part.startswith(("embeddings.patch_embeddings.", "embeddings.projection."))
            is_projected = getattr(model.base_model.embeddings, "projection", None) is not None and not is_written
            kept_last = None if is_projected else first
            along = [first] if is_written else [*[None] * (value.dim() - 1), kept_last]
        elif part.startswith("encoder."):
            along = [last]
        elif part.startswith("pooler."):
            along = [None if has_own_size else last, last]
        elif ".transform." in part:
            along = [words, last]
        else:
            along = [None, words if "decoder" in part else last]
        found[name] = Origin(value, along[: value.dim()])
    return found


def _values(model: Any, spec: ModelSpec, kept: list[KeptStructure]) -> dict[str, Tensor]:
    """Every parameter of the child by name."""
    values = {name: origin.taken() for name, origin in outer_origins(model, kept).items()}
    prefix, parent, places = f"{prefix_of(model)}encoder.layer.", model.config.model_spec, places_of(kept)
    for number, origins in enumerate(layer_origins(model, spec, kept)):
        values |= {f"{prefix}{number}.{name}": origin.taken() for name, origin in origins.items()}
    for number, (before, after) in enumerate(pairwise(spec.layers)):
        if before.hidden_size != after.hidden_size:
            first, second = places[number : number + 2]
            read, written = (kept[place].channels_of(parent.layers[place]) for place in (first, second))
            weight, bias = _between(model, first, second)
            values[f"{prefix}{number}.{PROJECTION}.weight"] = weight[written][:, read]
            values[f"{prefix}{number}.{PROJECTION}.bias"] = bias[written]
    return values


def _between(model: Any, first: int, last: int) -> tuple[Tensor, Tensor]:
    """What the projections from one layer to a later one do together, as weight and bias."""
    weight = torch.eye(model.config.model_spec.layers[first].hidden_size, device=model.device, dtype=model.dtype)
    bias = weight.new_zeros(len(weight))
    for layer in model.base_model.encoder.layer[first:last]:
        if (linear := layer.output.proj_head) is not None:
            weight, bias = linear.weight @ weight, linear.weight @ bias + linear.bias
    return weight, bias
