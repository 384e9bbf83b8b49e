"""Models put together from layers of others: another architecture, everything outside the layers as it was."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

from design_space import Layer, ModelSpec, operation_named

from ..cost.parameters import mixing_names
from ..model.heads import WordPredictor
from ..model.modeling_flexibert import FlexiBERTPreTrainedModel

AnyModel = TypeVar("AnyModel", bound=FlexiBERTPreTrainedModel)


class Part(NamedTuple):
    """A layer of the model to build, and the module (``EncoderLayer``) whose weights it takes."""

    layer: Layer
    module: nn.Module


def built_like(model: AnyModel, spec: ModelSpec, seed: int = 0, *, is_tied: bool = True) -> AnyModel:
    """A model of the class, sizes, type, device and mode of ``model``, of another architecture, with random weights.

    The global generator is left alone.

    Args:
        is_tied: whether the masked-LM decoder may share the word embeddings' matrix, as ``model``'s configuration says.
    """
    config = copy.deepcopy(model.config)
    config.model_dict = spec.to_dict()
    if isinstance(model, WordPredictor) and not is_tied:
        config.tie_word_embeddings = False
    has_choice: Any = {"add_pooling_layer": model.pooler is not None} if model.base_model is model else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = type(model)(config, **has_choice)
    return built.to(device=model.device, dtype=model.dtype).train(model.training)


def parts_of(model: FlexiBERTPreTrainedModel) -> list[Part]:
    """The layers of a model, as they are."""
    return [Part(*pair) for pair in zip(model.config.model_spec.layers, model.base_model.encoder.layer, strict=True)]


def assembled(
    model: AnyModel, parts: Sequence[Part], *, embeddings_of: FlexiBERTPreTrainedModel | None = None
) -> AnyModel:
    """``model`` with other layers. Standard where its own format is and the layers allow it, else hetero.

    Args:
        embeddings_of: the model to take the embeddings from, which a tied decoder then does not share any more;
            default: ``model``.

    Raises:
        ValueError: when layers of heads that are not as wide as the layer stand beside standard layers that have no
            hetero form.
    """
    is_standard = model.config.model_spec.format == "standard"
    was_hetero = not is_standard
    if is_standard and not all(part.layer.is_uniform for part in parts):
        names = [part.layer.heads[0].operation for part in parts]
        kept = [i for i, name in enumerate(names) if not operation_named(name).has_independent_heads]
        if kept:
            raise ValueError(
                f"Heads that are not together as wide as their layer need the hetero format, which layers {kept} (of "
                "standard linear transforms or convolutions) do not have; choose num_heads x head_size equal to the "
                "width"
            )
        is_standard = False
    spec = ModelSpec(tuple(part.layer for part in parts), "standard" if is_standard else "hetero")
    built = built_like(model, spec, is_tied=embeddings_of is None)
    with torch.no_grad():
        theirs = dict(model.named_parameters(remove_duplicate=False))
        for name, written in built.named_parameters(remove_duplicate=False):
            if "encoder.layer." not in name and (embeddings_of is None or "embeddings." not in name):
                written.copy_(theirs[name])
        if embeddings_of is not None:
            built.base_model.embeddings.load_state_dict(embeddings_of.base_model.embeddings.state_dict())
        for module, part in zip(built.base_model.encoder.layer, parts, strict=True):
            values = dict(part.module.named_parameters(remove_duplicate=False))
            origins = mixing_names(part.layer, part.layer, was_hetero, not is_standard)
            for name, written in module.named_parameters(remove_duplicate=False):
                written.copy_(values[origins.get(name, name)])
    return built
