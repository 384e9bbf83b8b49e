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
from . import copying

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
    ours = copying.our_class(model, CLASSES)
    if model.base_model.embeddings.mask_token is not None:
        raise ValueError("'model' must have no mask token (of masked image modelling); build it without")
    options = {name: getattr(model.config, name) for name in SHARED_OPTIONS}
    our_config = FlexiViTConfig(model_dict=_spec(model).to_dict(), lineage=[copying.converted_from(model)], **options)
    built: FlexiViTPreTrainedModel = copying.built_like(model, ours, our_config)
    copying.copy_weights(built, model, RENAMED, into_ours=True)
    return built


def to_deit(model: FlexiViTPreTrainedModel) -> DeiTPreTrainedModel:
    """The inverse of ``from_deit``: the same function as a DeiT of transformers.

    Args:
        model: any FlexiViT model whose architecture a DeiT has; it is not changed.

    Raises:
        ValueError: listing everything in its architecture that a DeiT cannot have.
    """
    theirs = copying.their_class(model, CLASSES, "FlexiViT")
    layers = model.config.model_spec.layers
    problems = copying.uneven_layers(layers)
    if not model.config.use_distillation_token:
        problems.insert(0, "'use_distillation_token' must be true")
    if problems:
        raise ValueError("This architecture has no DeiT of the same function:\n  - " + "\n  - ".join(problems))
    options = {name: getattr(model.config, name) for name in SHARED_OPTIONS} | copying.homogeneous_shape(layers)
    if layers[0].hidden_size // len(layers[0].heads) != layers[0].head_size:
        options["head_dim"] = layers[0].head_size
    built: DeiTPreTrainedModel = copying.built_like(model, theirs, DeiTConfig(**options))
    copying.copy_weights(model, built, RENAMED, into_ours=False)
    return built


def largest_difference(a: Any, b: Any, seed: int = 0) -> float:
    """Largest absolute difference of any output of two models of one head, in evaluation mode, on random images:
    all hidden states, the last and the pooled state, and what the head gives."""
    size = a.config.image_size
    height, width = (size, size) if isinstance(size, int) else size
    images = torch.randn(2, a.config.num_channels, height, width, generator=torch.Generator().manual_seed(seed))
    outputs = copying.evaluated((a, b), {"pixel_values": images.to(a.dtype)})
    first, second = ([*found.pop("hidden_states"), *found.values()] for found in outputs)
    return float(torch.stack([(x - y).abs().max() for x, y in zip(first, second, strict=True)]).max())


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
