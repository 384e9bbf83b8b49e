"""What every module that mixes the tokens of a layer shares: ``attention.self`` in checkpoints.

Shapes: B batch, S sequence, H layer width, N heads, D head size.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import is_tracing

from design_space import Layer

from .attention import Padding, attend, attend_by_bias, relative_scores, split_heads


class OwnWeights(nn.Module, ABC):
    """A module with bare parameters of its own, to which Hugging Face's rules give no start values."""

    @abstractmethod
    def init_weights(self) -> None:
        """Give start values to the bare parameters, by ``transformers.initialization``."""


class Mixing(nn.Module, ABC):
    """Mixes the tokens of a sequence: (B, S, H) -> (B, S, N D)."""

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__()
        self.config = config
        self.head_size = layer.head_size
        self.distance_embedding: nn.Module | None = None
        self.max_length: int = config.max_position_embeddings  # of the table, whatever the configuration says later

    @abstractmethod
    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        """Returns the heads' contexts (B, S, N D) and, where asked for, the attention weights (B, heads, S, S)."""

    def init_weights(self) -> None:
        """Give start values to the parameters that are this module's own, as ``transformers.initialization`` does."""

    def _add_distance_embedding(self) -> None:
        if self.config.position_embedding_type != "absolute":
            self.distance_embedding = nn.Embedding(2 * self.max_length - 1, self.head_size)

    def _heads(self, linear: nn.Linear, x_BSH: Tensor) -> Tensor:
        """The output of a linear map as heads (B, N, S, D)."""
        return split_heads(linear(x_BSH), self.head_size)

    def _bias(self, q_BNSD: Tensor | None, k_BNSD: Tensor | None, padding: Padding) -> Tensor | None:
        """What is added to scores of contents: relative positions, which read queries and with ``relative_key_query``
        keys, and the padding mask. Broadcastable to (B, N, S, S), or None when there is nothing to add."""
        if self.distance_embedding is None:
            return padding.scores
        assert q_BNSD is not None
        bias = relative_scores(q_BNSD, self.distance_embedding, self.max_length)
        if self.config.position_embedding_type == "relative_key_query":
            assert k_BNSD is not None
            bias = bias + relative_scores(k_BNSD, self.distance_embedding, self.max_length, is_of_keys=True)
        return bias if padding.scores is None else bias + padding.scores

    def _attend(
        self,
        content_BNSD: Tensor | None,
        k_BNSD: Tensor | None,
        v_BNSD: Tensor,
        bias: Tensor | None,
        output_attentions: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Context (B, N, S, D) and weights of heads that compare contents with keys, or without contents attend by the
        bias alone."""
        dropout = float(self.config.attention_probs_dropout_prob) if self.training else 0.0
        if content_BNSD is None or k_BNSD is None:
            return attend_by_bias(v_BNSD, bias, dropout)
        # Relative positions are scores that learn, which fused kernels do not know; a recorded graph serves both.
        may_learn = self.distance_embedding is not None and (torch.is_grad_enabled() or is_tracing())
        is_fused = self.config._attn_implementation != "eager" and not may_learn
        return attend(content_BNSD, k_BNSD, v_BNSD, bias, dropout, output_attentions or not is_fused)
