"""Patch embeddings, pre-norm layers and pooler of FlexiViT: ViT's layer (Dosovitskiy et al. 2021), FlexiBERT's mixing.

Parameters are named as in ``encoder.py``, but for the two LayerNorms of a layer.
Shapes: B batch, S sequence, C channels, H hidden size of the layer.
"""

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from design_space import Layer

from ..mixing.attention import Padding
from ..mixing.layer import build_mixing
from ..model.encoder import Encoder
from ..model.feed_forward import FeedForward
from .configuration_flexivit import FlexiViTConfig


class PatchEmbeddings(nn.Module):
    """Tokens, a Linear of each patch, positions, dropout: (B, C, height, width) -> (B, S, first hidden size)."""

    def __init__(self, config: FlexiViTConfig) -> None:
        super().__init__()
        size, patch = config.embedding_size, config.patch_shape
        self.cls_token = nn.Parameter(torch.empty(1, 1, size))
        has_second = config.use_distillation_token
        self.distillation_token = nn.Parameter(torch.empty(1, 1, size)) if has_second else None
        self.position_embeddings = nn.Parameter(torch.empty(1, config.max_position_embeddings, size))
        self.patch_embeddings = nn.Conv2d(config.num_channels, size, kernel_size=patch, stride=patch)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embeddings(pixels).flatten(2).transpose(1, 2)
        tokens = [token for token in (self.cls_token, self.distillation_token) if token is not None]
        embedded = torch.cat([*(token.expand(pixels.shape[0], -1, -1) for token in tokens), patches], dim=1)
        return self.dropout(embedded + self.position_embeddings)


class Projection(nn.Module):
    """Linear to the layer's width, dropout, residual; ``proj_head`` if the next width differs."""

    def __init__(self, width: int, hidden_size: int, next_hidden_size: int, config: FlexiViTConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        is_projected = next_hidden_size != hidden_size
        self.proj_head = nn.Linear(hidden_size, next_hidden_size) if is_projected else None

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        added = residual + self.dropout(self.dense(x))
        return added if self.proj_head is None else self.proj_head(added)


class PreNormMixing(nn.Module):
    """x + W_o mix(LN(x)); parameters named as in FlexiBERT's ``MixingBlock``."""

    def __init__(self, layer: Layer, config: FlexiViTConfig, is_hetero: bool) -> None:
        super().__init__()
        width = layer.hidden_size
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.self = build_mixing(layer, config, is_hetero)
        if not config.qkv_bias:
            for name in ("query", "key", "value"):
                if getattr(self.self, name, None) is not None:
                    getattr(self.self, name).register_parameter("bias", None)
        self.output = Projection(len(layer.heads) * layer.head_size, width, width, config)

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        context, weights = self.self(self.LayerNorm(x_BSH), padding, output_attentions)
        return self.output(context, x_BSH), weights


class PreNormLayer(GradientCheckpointingLayer):
    """One layer: (B, S, H) -> (B, S, hidden size of the next layer). ``LayerNorm`` is the feed-forward stack's."""

    def __init__(self, layer: Layer, next_hidden_size: int, config: FlexiViTConfig, is_hetero: bool) -> None:
        super().__init__()
        self.attention = PreNormMixing(layer, config, is_hetero)
        self.LayerNorm = nn.LayerNorm(layer.hidden_size, eps=config.layer_norm_eps)
        self.intermediate = FeedForward(layer, config)
        self.output = Projection(layer.feed_forward[-1], layer.hidden_size, next_hidden_size, config)

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        mixed, weights = self.attention(x_BSH, padding, output_attentions)
        return self.output(self.intermediate(self.LayerNorm(mixed)), mixed), weights


class PreNormEncoder(Encoder):
    """The layers of a spec, in order, and a LayerNorm of the last states; ``hidden_states`` are those before it."""

    layer_class = PreNormLayer

    def __init__(self, config: FlexiViTConfig) -> None:
        super().__init__(config)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self, x_BSH: Tensor, padding: Padding, output_hidden_states: bool, output_attentions: bool
    ) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor | None, ...] | None]:
        last, states, weights = super().forward(x_BSH, padding, output_hidden_states, output_attentions)
        return self.LayerNorm(last), states, weights


class ImagePooler(nn.Module):
    """Linear and activation of the first token: (B, S, H) -> (B, pooler_output_size)."""

    def __init__(self, config: FlexiViTConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.pooler_output_size or config.hidden_size)
        self.activation = ACT2FN[config.pooler_act]

    def forward(self, x_BSH: Tensor, padding: Padding) -> Tensor:
        """``padding`` is that of texts; images have none."""
        return self.activation(self.dense(x_BSH[:, 0]))
