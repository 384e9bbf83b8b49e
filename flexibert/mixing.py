"""Token mixing of one layer in the standard format: one operation for all heads (FlexiBERT, section 3.1).

Each class is the ``attention.self`` of its layer and names its parameters as the original's checkpoints do. What the
original keeps although no output depends on it is not built, and skipped on loading: ``W`` under ``sdp``, ``key`` in
``l`` layers.
Shapes: B batch, S sequence, H layer width, N heads, D head size, K kernel.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from design_space import Layer

from .attention import Padding, attend, attend_by_bias, position_bias
from .convolution import SeparableConvolution, span_convolution
from .linear_transform import transform_2d


class Mixing(nn.Module, ABC):
    """Mixes the tokens of a sequence: (B, S, H) -> (B, S, N D)."""

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__()
        self.config = config
        self.head_size = layer.head_size

    @abstractmethod
    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        """Returns the heads' contexts (B, S, N D) and, where asked for, the attention weights (B, heads, S, S)."""

    def _add_distance_embedding(self) -> None:
        if self.config.position_embedding_type != "absolute":
            self.distance_embedding: nn.Embedding | None = nn.Embedding(
                2 * self.config.max_position_embeddings - 1, self.head_size
            )
        else:
            self.distance_embedding = None

    def _heads(self, x_BSC: Tensor) -> Tensor:
        """(B, S, N D) -> (B, N, S, D)."""
        return x_BSC.unflatten(-1, (-1, self.head_size)).transpose(1, 2)

    def _bias(self, q_BNSD: Tensor, k_BNSD: Tensor | None, padding: Padding) -> Tensor | None:
        table = None if self.distance_embedding is None else self.distance_embedding.weight
        if self.config.position_embedding_type != "relative_key_query":
            k_BNSD = None
        return position_bias(q_BNSD, k_BNSD, table, padding)

    def _dropout(self) -> float:
        return float(self.config.attention_probs_dropout_prob) if self.training else 0.0

    def _is_explicit(self, output_attentions: bool) -> bool:
        return output_attentions or self.config._attn_implementation == "eager"


def merge_heads(x_BNSD: Tensor) -> Tensor:
    """(B, N, S, D) -> (B, S, N D)."""
    return x_BNSD.transpose(1, 2).flatten(2)


class SelfAttention(Mixing):
    """``sa``: scaled dot product (``sdp``) or weighted multiplicative attention (``wma``: q W kT, one W a layer)."""

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__(layer, config)
        width = len(layer.heads) * layer.head_size
        self.query = nn.Linear(layer.hidden_size, width)
        self.key = nn.Linear(layer.hidden_size, width)
        self.value = nn.Linear(layer.hidden_size, width)
        self.W = (
            nn.Parameter(torch.empty(self.head_size, self.head_size)) if layer.heads[0].parameter == "wma" else None
        )
        self._add_distance_embedding()

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        q, k, v = self._heads(self.query(x_BSH)), self._heads(self.key(x_BSH)), self._heads(self.value(x_BSH))
        q = q if self.distance_embedding is None else q.contiguous()
        bias = self._bias(q, k, padding)
        content = q if self.W is None else q @ self.W
        context, weights = attend(content, k, v, bias, self._dropout(), self._is_explicit(output_attentions))
        return merge_heads(context), weights


class LinearTransform(Mixing):
    """``l``: attention by position alone, plus the DFT or DCT of the layer's input."""

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__(layer, config)
        width = len(layer.heads) * layer.head_size
        self.transform = str(layer.heads[0].parameter)
        self._add_distance_embedding()
        self.query = nn.Linear(layer.hidden_size, width) if self.distance_embedding is not None else None
        needs_keys = config.position_embedding_type == "relative_key_query"
        self.key = nn.Linear(layer.hidden_size, width) if needs_keys else None
        self.value = nn.Linear(layer.hidden_size, width)

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        v = self._heads(self.value(x_BSH))
        k = None if self.key is None else self._heads(self.key(x_BSH))
        bias = padding.scores if self.query is None else self._bias(self._heads(self.query(x_BSH)), k, padding)
        context, weights = attend_by_bias(v, bias, self._dropout())
        return merge_heads(context) + transform_2d(padding.zeroed(x_BSH), self.transform), weights


class ConvolutionMixing(Mixing):
    """``c``: ConvBERT's mixed attention: the first half of the heads attend, the others convolve; both use the same
    queries.

    With an odd number of heads (where the original fails) the convolution has one head more.
    """

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__(layer, config)
        num_heads, hidden = len(layer.heads), layer.hidden_size
        kernel = int(layer.heads[0].parameter)
        self.num_attending = num_heads // 2
        attending, convolving = self.num_attending * self.head_size, (num_heads - self.num_attending) * self.head_size
        self.query = nn.Linear(hidden, convolving)
        if self.num_attending:
            self.key = nn.Linear(hidden, attending)
            self.value = nn.Linear(hidden, attending)
        self.key_conv_attn_layer = SeparableConvolution(hidden, convolving, kernel)
        self.conv_kernel_layer = nn.Linear(convolving, (num_heads - self.num_attending) * kernel)
        self.conv_out_layer = nn.Linear(hidden, convolving)
        if self.num_attending:
            self._add_distance_embedding()

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        query = self.query(x_BSH)
        convolved = self._convolve(x_BSH, query, padding)
        if not self.num_attending:
            return merge_heads(convolved), None
        q = self._heads(query[..., : self.num_attending * self.head_size])
        k, v = self._heads(self.key(x_BSH)), self._heads(self.value(x_BSH))
        bias = self._bias(q, k, padding)
        context, weights = attend(q, k, v, bias, self._dropout(), self._is_explicit(output_attentions))
        return torch.cat([merge_heads(context), merge_heads(convolved)], dim=-1), weights

    def _convolve(self, x_BSH: Tensor, query: Tensor, padding: Padding) -> Tensor:
        local = self.key_conv_attn_layer(padding.zeroed(x_BSH))
        logits = self.conv_kernel_layer(local * query)
        num_convolving = query.shape[-1] // self.head_size
        logits_BNSK = logits.unflatten(-1, (num_convolving, -1)).transpose(1, 2)
        return span_convolution(self._heads(padding.zeroed(self.conv_out_layer(x_BSH))), logits_BNSK)
