"""The feed-forward stack of a layer (FlexiBERT, section 3.1): one or several hidden widths.

Shapes: B batch, S sequence, H hidden size of the layer, F feed-forward width.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import ACT2FN, GELUActivation

from design_space import Layer

from .head_layout import is_eager_on_cpu, is_plain, is_watched


class FeedForward(nn.Module):
    """Linear and activation, once per width of the stack: (B, S, H) -> (B, S, F_last).

    The first Linear has two names, as in the original: ``dense`` and ``sequential.0``. Files may hold either; ours
    hold the second.
    """

    _tied_weights_keys: ClassVar[dict[str, str]] = {
        "dense.weight": "sequential.0.weight",
        "dense.bias": "sequential.0.bias",
    }

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        width = layer.hidden_size
        for next_width in layer.feed_forward:
            stack += [nn.Linear(width, next_width), ACT2FN[config.hidden_act]]
            width = next_width
        self.dense = stack[0]
        self.sequential = Stack(*stack)

    def forward(self, x_BSH: Tensor) -> Tensor:
        return self.sequential(x_BSH)


class Stack(nn.Sequential):
    """Linear and activation in turn. Evaluation on a CPU writes GELU over its argument, for memory that is new at every
    call costs more there than the function."""

    def forward(self, x_BSH: Tensor) -> Tensor:
        modules = list(self)
        for linear, activation in zip(modules[::2], modules[1::2], strict=True):
            x_BSH = linear(x_BSH)
            if torch.is_grad_enabled() or not is_eager_on_cpu(x_BSH) or not _is_gelu_alone(linear, activation):
                x_BSH = activation(x_BSH)
            else:
                torch.ops.aten.gelu.out(x_BSH, out=x_BSH)
        return x_BSH


def _is_gelu_alone(linear: nn.Module, activation: nn.Module) -> bool:
    """Whether nobody but the GELU reads what the linear map gives."""
    is_gelu = type(activation) is GELUActivation and activation.act is functional.gelu
    return is_gelu and is_plain(linear) and not is_watched(activation)
