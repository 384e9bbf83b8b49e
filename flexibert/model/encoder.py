"""Embeddings, layers and pooler: BERT's post-norm layer (Devlin et al. 2019) with FlexiBERT's widths and stacks.

Attribute names are those of the original's checkpoints. A grouped architecture has such embeddings and layers per
group, under ``groups.{number}``; only the pooler and the task heads read them together.
Shapes: B batch, S sequence, E width of the word vectors, H hidden size of the layer, F feed-forward width.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_layers import GradientCheckpointingLayer

from design_space import Layer, ModelSpec

from ..mixing.attention import Padding
from ..mixing.layer import build_mixing
from .feed_forward import FeedForward


class Embeddings(nn.Module):
    """Word + segment (+ absolute position) embeddings, LayerNorm, dropout, a projection of vectors of another width:
    (B, S) -> (B, S, first hidden size)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        size = config.input_size
        self.word_embeddings = nn.Embedding(config.vocab_size, size, padding_idx=config.pad_token_id)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        if config.position_embedding_type == "absolute":
            self.position_embeddings: nn.Embedding | None = nn.Embedding(config.max_position_embeddings, size)
        else:
            self.position_embeddings = None
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        is_projected = config.word_vector_size is not None
        self.projection = nn.Linear(size, config.embedding_size) if is_projected else None

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Embed ids (B, S), or word vectors (B, S, E); ``token_type_ids`` (B, S) are 0 and ``position_ids``, (B, S) or
        (1, S), are 0 to S - 1 where they are not given."""
        words = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if token_type_ids is None:
            token_type_ids = torch.zeros(1, 1, dtype=torch.long, device=words.device)
        embedded = words + self.token_type_embeddings(token_type_ids)
        if self.position_embeddings is not None:
            if position_ids is None:
                position_ids = torch.arange(words.shape[1], device=words.device).unsqueeze(0)
            embedded = embedded + self.position_embeddings(position_ids)
        normed = self.dropout(self.LayerNorm(embedded))
        return normed if self.projection is None else self.projection(normed)


class MixingOutput(nn.Module):
    """Projection of the heads back to the layer's width, dropout, residual, LayerNorm."""

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(len(layer.heads) * layer.head_size, layer.hidden_size)
        self.LayerNorm = nn.LayerNorm(layer.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, context: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(residual + self.dropout(self.dense(context)))


class MixingBlock(nn.Module):
    """Token mixing and its output projection; ``self`` and ``output`` in checkpoints."""

    def __init__(self, layer: Layer, config: Any, is_hetero: bool) -> None:
        super().__init__()
        self.self = build_mixing(layer, config, is_hetero)
        self.output = MixingOutput(layer, config)

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        context, weights = self.self(x_BSH, padding, output_attentions)
        return self.output(context, x_BSH), weights


class LayerOutput(nn.Module):
    """Projection of the feed-forward stack, dropout, residual, LayerNorm; ``proj_head`` if the next width differs."""

    def __init__(self, layer: Layer, next_hidden_size: int, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(layer.feed_forward[-1], layer.hidden_size)
        self.LayerNorm = nn.LayerNorm(layer.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        is_projected = next_hidden_size != layer.hidden_size
        self.proj_head = nn.Linear(layer.hidden_size, next_hidden_size) if is_projected else None

    def forward(self, transformed: Tensor, residual: Tensor) -> Tensor:
        normed = self.LayerNorm(residual + self.dropout(self.dense(transformed)))
        return normed if self.proj_head is None else self.proj_head(normed)


class EncoderLayer(GradientCheckpointingLayer):
    """One layer: (B, S, H) -> (B, S, hidden size of the next layer)."""

    def __init__(self, layer: Layer, next_hidden_size: int, config: Any, is_hetero: bool) -> None:
        super().__init__()
        self.attention = MixingBlock(layer, config, is_hetero)
        self.intermediate = FeedForward(layer, config)
        self.output = LayerOutput(layer, next_hidden_size, config)

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        mixed, weights = self.attention(x_BSH, padding, output_attentions)
        return self.output(self.intermediate(mixed), mixed), weights


class Encoder(nn.Module):
    """The layers of a spec, in order."""

    layer_class: ClassVar[type[nn.Module]] = EncoderLayer

    def __init__(self, config: Any) -> None:
        super().__init__()
        spec = config.model_spec
        widths = [layer.hidden_size for layer in spec.layers]
        self.layer = nn.ModuleList(
            self.layer_class(layer, next_width, config, spec.format == "hetero")
            for layer, next_width in zip(spec.layers, [*widths[1:], widths[-1]], strict=True)
        )

    def forward(
        self, x_BSH: Tensor, padding: Padding, output_hidden_states: bool, output_attentions: bool
    ) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor | None, ...] | None]:
        """Returns the last states and, where asked for, all states (first to last) and all attention weights."""
        states, all_weights = [x_BSH], []
        for layer in self.layer:
            x_BSH, weights = layer(x_BSH, padding, output_attentions)
            all_weights.append(weights)
            if output_hidden_states:
                states.append(x_BSH)
        return x_BSH, tuple(states) if output_hidden_states else None, tuple(all_weights) if output_attentions else None


class GroupConfig:
    """The configuration of one group: its architecture, everything else as in the whole model's configuration."""

    def __init__(self, config: Any, spec: ModelSpec) -> None:
        self._config = config
        self.model_spec = spec
        self.embedding_size = spec.layers[0].hidden_size
        self.input_size = config.word_vector_size or self.embedding_size

    def __getattr__(self, name: str) -> Any:
        if name == "_config":  # before it is set, as when a copy is made
            raise AttributeError(name)
        return getattr(self._config, name)


def _groups(config: Any) -> list[GroupConfig]:
    return [GroupConfig(config, spec) for spec in config.model_spec.groups]


class GroupedEmbeddings(nn.Module):
    """Embeddings of each group side by side: (B, S) -> (B, S, sum of the groups' first hidden sizes)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        groups = _groups(config)
        self.groups = nn.ModuleList(Embeddings(group) for group in groups)
        self.widths = [group.input_size for group in groups]

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """As ``Embeddings``; word vectors are those of the groups side by side."""
        parts = [None] * len(self.widths) if inputs_embeds is None else inputs_embeds.split(self.widths, dim=-1)
        embedded = [
            group(input_ids, token_type_ids, part, position_ids) for group, part in zip(self.groups, parts, strict=True)
        ]
        return torch.cat(embedded, dim=-1)


class GroupedEncoder(nn.Module):
    """The layers of each group side by side, each with its own residual stream."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        groups = _groups(config)
        self.groups = nn.ModuleList(Encoder(group) for group in groups)
        self.widths = [group.embedding_size for group in groups]

    def forward(
        self, x_BSH: Tensor, padding: Padding, output_hidden_states: bool, output_attentions: bool
    ) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor | None, ...] | None]:
        """As ``Encoder``: states side by side, attention weights of all heads of all groups."""
        parts = zip(self.groups, x_BSH.split(self.widths, dim=-1), strict=True)
        outputs = [group(part, padding, output_hidden_states, output_attentions) for group, part in parts]
        lasts, states, weights = zip(*outputs, strict=True)
        joint_states = tuple(torch.cat(each, dim=-1) for each in zip(*states, strict=True)) if states[0] else None
        joint_weights = None
        if output_attentions:
            layers = zip(*weights, strict=True)
            joint_weights = tuple(None if any(w is None for w in each) else torch.cat(each, dim=1) for each in layers)
        return torch.cat(lasts, dim=-1), joint_states, joint_weights


class GroupedLayerNorm(nn.LayerNorm):
    """LayerNorm of each group of a vector on its own, weights and biases being those of the groups side by side."""

    def __init__(self, widths: Sequence[int], eps: float) -> None:
        super().__init__(sum(widths), eps=eps)
        self.widths = list(widths)

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(*(each.split(self.widths, dim=-1) for each in (x, self.weight, self.bias)), strict=True)
        normed = [functional.layer_norm(part, part.shape[-1:], weight, bias, self.eps) for part, weight, bias in parts]
        return torch.cat(normed, dim=-1)


class Pooler(nn.Module):
    """tanh of a Linear of the first token, or of the mean of real tokens: (B, S, H) -> (B, H)."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.is_mean = config.pooling == "mean"

    def forward(self, x_BSH: Tensor, padding: Padding) -> Tensor:
        return torch.tanh(self.dense(padding.mean(x_BSH) if self.is_mean else x_BSH[:, 0]))
