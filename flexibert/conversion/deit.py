"""DeiT in and out: the same function in Hugging Face's classes and in ours, weights copied without rounding.

A DeiT is the FlexiViT whose layers are all ``sa``/``sdp`` of one shape, with a distillation token (Touvron et al.
2021). A DeiT with layers made narrower by pruning comes in too, where its modules still compute.
"""

from typing import Any

import torch
from transformers import DeiTConfig, DeiTPreTrainedModel
from transformers.models.deit import modeling_deit

from design_space import Head, Layer, ModelSpec

from ..vision.configuration_flexivit import FlexiViTConfig
from ..vision.modeling_flexivit import (
    FlexiViTForImageClassification,
    FlexiViTForImageClassificationWithTeacher,
    FlexiViTModel,
    FlexiViTPreTrainedModel,
)
from .bert import converted_from

# Hugging Face's class -> ours
CLASSES: dict[type, type[FlexiViTPreTrainedModel]] = {
    modeling_deit.DeiTModel: FlexiViTModel,
    modeling_deit.DeiTForImageClassification: FlexiViTForImageClassification,
    modeling_deit.DeiTForImageClassificationWithTeacher: FlexiViTForImageClassificationWithTeacher,
}
# Means the same in both configurations.
SHARED_OPTIONS = (
    "image_size",
    "patch_size",
    "num_channels",
    "qkv_bias",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
    "layer_norm_eps",
    "pooler_output_size",
    "pooler_act",
    "id2label",
    "label2id",
    "problem_type",
)
# Parts of the names of parameters, ours -> Hugging Face's, replaced in this order.
RENAMED = {
    "vit.": "deit.",
    "patch_embeddings.": "patch_embeddings.projection.",
    "encoder.LayerNorm.": "layernorm.",
    "encoder.layer.": "layers.",
    ".attention.LayerNorm.": ".layernorm_before.",
    ".LayerNorm.": ".layernorm_after.",
    ".self.query.": ".q_proj.",
    ".self.key.": ".k_proj.",
    ".self.value.": ".v_proj.",
    ".attention.output.dense.": ".attention.o_proj.",
    ".intermediate.sequential.0.": ".mlp.fc1.",
    ".output.dense.": ".mlp.fc2.",
}


def from_deit(model: DeiTPreTrainedModel) -> FlexiViTPreTrainedModel:
    """The FlexiViT that computes what ``model`` computes, its classifiers included.

    Args:
        model: ``DeiTModel``, ``DeiTForImageClassification`` or ``DeiTForImageClassificationWithTeacher`` of
            transformers; it is not changed. The shape of each layer is read from its modules.

    Returns:
        The FlexiViT class of the same head, with weights of its own, in the same type, device and mode.

    Raises:
        ValueError: when it is another kind of model, has a mask token, or parameters that its class does not have.
    """
    ours = CLASSES.get(type(model))
    if ours is None:
        known = ", ".join(theirs.__name__ for theirs in CLASSES)
        raise ValueError(f"'model' must be one of {known} of transformers. Got {type(model).__name__}")
    if model.base_model.embeddings.mask_token is not None:
        raise ValueError("'model' must have no mask token (of masked image modelling); build it without")
    options = {name: getattr(model.config, name) for name in SHARED_OPTIONS}
    our_config = FlexiViTConfig(model_dict=_spec(model).to_dict(), lineage=[converted_from(model)], **options)
    built = _built(ours, our_config, model)
    _copy(built, model, into_ours=True)
    return built


def to_deit(model: FlexiViTPreTrainedModel) -> DeiTPreTrainedModel:
    """The inverse of ``from_deit``: the same function as a DeiT of transformers.

    Args:
        model: any FlexiViT model whose architecture a DeiT has; it is not changed.

    Raises:
        ValueError: listing everything in its architecture that a DeiT cannot have.
    """
    theirs = next((theirs for theirs, ours in CLASSES.items() if type(model) is ours), None)
    if theirs is None:
        raise ValueError(f"'model' must be a FlexiViT model. Got {type(model).__name__}")
    problems = _differences_from_deit(model.config)
    if problems:
        raise ValueError("This architecture has no DeiT of the same function:\n  - " + "\n  - ".join(problems))
    layer = model.config.model_spec.layers[0]
    options = {name: getattr(model.config, name) for name in SHARED_OPTIONS}
    if layer.hidden_size // len(layer.heads) != layer.head_size:
        options["head_dim"] = layer.head_size
    deit_config = DeiTConfig(
        hidden_size=layer.hidden_size,
        num_hidden_layers=len(model.config.model_spec.layers),
        num_attention_heads=len(layer.heads),
        intermediate_size=layer.feed_forward[0],
        **options,
    )
    built = _built(theirs, deit_config, model)
    _copy(model, built, into_ours=False)
    return built


def largest_difference(a: Any, b: Any, seed: int = 0) -> float:
    """Largest absolute difference of any output of two models of one head, in evaluation mode, on random images:
    all hidden states, the last and the pooled state, and what the head gives."""
    size = a.config.image_size
    height, width = (size, size) if isinstance(size, int) else size
    images = torch.randn(2, a.config.num_channels, height, width, generator=torch.Generator().manual_seed(seed))
    outputs = []
    for model in (a, b):
        was_training = model.training
        with torch.no_grad():
            found = model.eval()(images.to(device=model.device, dtype=model.dtype), output_hidden_states=True)
        model.train(was_training)
        outputs.append([x for name, x in found.items() if name != "hidden_states"] + list(found.hidden_states))
    differences = [(x - y.to(x.device)).abs().max() for x, y in zip(*outputs, strict=True)]
    return float(torch.stack(differences).max())


def _spec(model: Any) -> ModelSpec:
    """The architecture, in the standard format where it can be written in it."""
    layers = tuple(
        Layer(
            model.config.hidden_size,
            (Head.dot_product_attention(layer.attention.head_dim),)
            * (layer.attention.q_proj.out_features // layer.attention.head_dim),
            (layer.mlp.fc1.out_features,),
        )
        for layer in model.base_model.layers
    )
    return ModelSpec(layers, "standard" if all(layer.is_uniform for layer in layers) else "hetero")


def _differences_from_deit(config: FlexiViTConfig) -> list[str]:
    problems = []
    if not config.use_distillation_token:
        problems.append("'use_distillation_token' must be true")
    layers = config.model_spec.layers
    for number, layer in enumerate(layers):
        if not layer.has_dot_product_attention:
            problems.append(f"layer {number} must have self-attention heads (sa, sdp) only")
        if len(layer.feed_forward) != 1:
            problems.append(f"layer {number} must have one feed-forward width. Got {list(layer.feed_forward)}")
        if layer != layers[0]:
            problems.append(f"layer {number} must be like layer 0")
    return problems


def _built(model_class: Any, config: Any, like: Any) -> Any:
    config._attn_implementation = like.config._attn_implementation
    has_choice = model_class in (FlexiViTModel, modeling_deit.DeiTModel)
    options = {"add_pooling_layer": like.base_model.pooler is not None} if has_choice else {}
    return model_class(config, **options).to(device=like.device, dtype=like.dtype).train(like.training)


def _copy(ours: Any, theirs: Any, into_ours: bool) -> None:
    """Parameters of one model into the other's, by name.

    Raises:
        ValueError: naming those that only one of them has, or in another shape.
    """
    own = {}
    for name, parameter in ours.named_parameters(remove_duplicate=False):
        if ".intermediate.dense." in name:  # the second name of ``sequential.0``
            continue
        for our_part, their_part in RENAMED.items():
            name = name.replace(our_part, their_part)
        own[name] = parameter
    other = dict(theirs.named_parameters())
    problems = sorted(
        name for name in {*own, *other} if name not in own or name not in other or own[name].shape != other[name].shape
    )
    if problems:
        raise ValueError(f"'model' must have the parameters of its class. It differs in {', '.join(problems[:5])}")
    with torch.no_grad():
        for name, parameter in own.items():
            target, source = (parameter, other[name]) if into_ours else (other[name], parameter)
            target.copy_(source)
