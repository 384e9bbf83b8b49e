"""Token mixing of one layer in the standard format: one operation for all heads (FlexiBERT, section 3.1).

Each class is the ``attention.self`` of its layer and names its parameters as the original's checkpoints do. What the
original keeps although no output depends on it is not built, and skipped on loading: ``W`` under ``sdp``, ``key`` in
``l`` layers.
Shapes: B batch, S sequence, H layer width, N heads, D head size, K kernel.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from design_space import Layer

from .attention import Padding, attend, position_bias
from .convolution import SeparableConvolution, span_convolution
from .head_layout import as_heads, joining_pays, merge_heads, project, split_heads
from .linear_transform import transform_2d
from .own_gradients import is_eager_on_cpu, is_transformed
from .plain_modules import rows_of
from .relative_attention import attend_with_positions


class Mixing(nn.Module, ABC):
    """Mixes the tokens of a sequence: (B, S, H) -> (B, S, N D)."""

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__()
        self.config = config
        self.head_size = layer.head_size

    @abstractmethod
    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        """Returns the heads' contexts (B, S, N D) and, where asked for, the attention weights (B, heads, S, S)."""

    def _add_distance_embedding(self, is_used: bool = True) -> None:
        if is_used and self.config.position_embedding_type != "absolute":
            self.distance_embedding: nn.Embedding | None = nn.Embedding(
                2 * self.config.max_position_embeddings - 1, self.head_size
            )
        else:
            self.distance_embedding = None

    def _heads_of(self, x_BSH: Tensor, *linears: nn.Linear | None) -> list[Any]:
        """Heads (B, N, S, D) of each linear map's output; None for None."""
        built = [linear for linear in linears if linear is not None]
        if self.distance_embedding is None or not joining_pays(x_BSH, built):
            return [None if linear is None else as_heads(linear(x_BSH), self.head_size) for linear in linears]
        projected = project(x_BSH, [(linear, ()) for linear in built], self.head_size)
        ends = list(accumulate((linear.out_features // self.head_size for linear in built), initial=0))
        heads = iter(self._split(projected, [range(*pair) for pair in pairwise(ends)]))
        return [None if linear is None else next(heads) for linear in linears]

    def _split(self, x_BSC: Tensor, ranges: Sequence[range]) -> list[Tensor]:
        return split_heads(x_BSC, self.head_size, ranges, heads_first=self.distance_embedding is not None)

    def _attend(
        self,
        q_BNSD: Tensor | None,
        k_BnSD: Tensor | None,
        v_BNSD: Tensor,
        padding: Padding,
        output_attentions: bool,
        content_BmSD: Tensor | None = None,
        all_k_BNSD: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Attention of N heads: the first n compare keys with queries, the last m of these with ``content``.

        Args:
            all_k_BNSD: keys of all heads, by which they are positioned with ``relative_key_query``; default: ``k``.
        """
        table = None
        if self.distance_embedding is not None:
            table = rows_of(self.distance_embedding, self.distance_embedding.num_embeddings, v_BNSD)
        positioned_k = k_BnSD if all_k_BNSD is None else all_k_BNSD
        if self.config.position_embedding_type != "relative_key_query":
            positioned_k = None
        dropout = float(self.config.attention_probs_dropout_prob) if self.training else 0.0
        is_explicit = output_attentions or self.config._attn_implementation == "eager" or is_transformed()
        if table is not None and not is_explicit and is_eager_on_cpu(v_BNSD):
            assert q_BNSD is not None
            read = q_BNSD, content_BmSD, k_BnSD, v_BNSD
            return attend_with_positions(*read, table, positioned_k, padding.scores, dropout), None
        bias = position_bias(q_BNSD, positioned_k, table, padding)
        return attend(q_BNSD, content_BmSD, k_BnSD, v_BNSD, bias, dropout, is_explicit)


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
        q, k, v = self._heads_of(x_BSH, self.query, self.key, self.value)
        content = None if self.W is None else q @ self.W
        context, weights = self._attend(q, k, v, padding, output_attentions, content)
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
        v, q, k = self._heads_of(x_BSH, self.value, self.query, self.key)
        context, weights = self._attend(q, None, v, padding, output_attentions, all_k_BNSD=k)
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
        self._add_distance_embedding(is_used=self.num_attending > 0)

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        if not self.num_attending:
            q, values = self._heads_of(x_BSH, self.query, self.conv_out_layer)
            return merge_heads(self._convolve(x_BSH, q, values, padding)), None
        q, k, v, values = self._heads_of(x_BSH, self.query, self.key, self.value, self.conv_out_layer)
        attending = q if q.shape[1] == self.num_attending else q[:, : self.num_attending]
        context, weights = self._attend(attending, k, v, padding, output_attentions)
        convolved = self._convolve(x_BSH, q, values, padding)
        return torch.cat([merge_heads(context), merge_heads(convolved)], dim=-1), weights

    def _convolve(self, x_BSH: Tensor, q_BNSD: Tensor, values_BNSD: Tensor, padding: Padding) -> Tensor:
        local = self.key_conv_attn_layer(padding.zeroed(x_BSH))
        logits = self.conv_kernel_layer(local * merge_heads(q_BNSD))
        logits_BNSK = logits.unflatten(-1, (q_BNSD.shape[1], -1)).transpose(1, 2)
        return span_convolution(padding.zeroed(values_BNSD), logits_BNSK)
