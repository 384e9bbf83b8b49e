"""Dynamic span convolution, ``c`` (ConvBERT, Jiang et al. 2020, section 3.2): every position has a kernel of its own.

In a standard layer, ConvBERT's mixed attention, the first half of the heads attend and the others convolve; with an odd
number (where the original fails) one head more convolves. In the hetero format a head attends by position and adds the
convolution of its values.
Shapes: B batch, S sequence, H layer width, N heads, D head size, K kernel, C channels.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import initialization as init

from design_space import Layer
from design_space.operations import CONVOLUTION

from .attention import Padding, merge_heads
from .axes import Axis, Flops, Parameter, Sizes, diagonal, distance_table, linear, plain
from .base import Mixing, OwnWeights
from .operation import Attends, HeadInputs, HeadOperation, Own, StandardLayer
from .self_attention import attention_products


class Convolution(nn.Conv1d):
    """A convolution along the sequence, (B, C_in, S) -> (B, C_out, S), of channels that come last in memory.

    So they do in the states of an encoder. As a picture of height 1 they are convolved in that order, where
    one-dimensional convolutions would copy them to another one and back.
    """

    def forward(self, x_BCS: Tensor) -> Tensor:
        picture, weight = x_BCS.unsqueeze(2), self.weight.unsqueeze(2)
        return functional.conv2d(picture, weight, self.bias, padding=(0, *self.padding), groups=self.groups).squeeze(2)


class SeparableConvolution(OwnWeights):
    """Depthwise, then pointwise convolution along the sequence, then a bias: (B, S, C_in) -> (B, S, C_out)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        padding = kernel // 2
        self.depthwise = Convolution(in_channels, in_channels, kernel, padding=padding, groups=in_channels, bias=False)
        self.pointwise = Convolution(in_channels, out_channels, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels, 1))

    def init_weights(self) -> None:
        """The bias starts at zero."""
        init.zeros_(self.bias)

    def forward(self, x_BSC: Tensor) -> Tensor:
        return (self.pointwise(self.depthwise(x_BSC.transpose(1, 2))) + self.bias).transpose(1, 2)


class MixedAttention(Mixing):
    """A layer of which some heads attend and the others convolve; both use the same queries."""

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__(layer, config)
        hidden, kernel = layer.hidden_size, int(layer.heads[0].parameter)
        self.num_attending, num_convolving = _split(layer)
        attending, convolving = self.num_attending * self.head_size, num_convolving * self.head_size
        self.query = nn.Linear(hidden, convolving)
        if self.num_attending:
            self.key = nn.Linear(hidden, attending)
            self.value = nn.Linear(hidden, attending)
        self.key_conv_attn_layer = SeparableConvolution(hidden, convolving, kernel)
        self.conv_kernel_layer = nn.Linear(convolving, num_convolving * kernel)
        self.conv_out_layer = nn.Linear(hidden, convolving)
        if self.num_attending:
            self._add_distance_embedding()

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        query = self.query(x_BSH)
        local = self.key_conv_attn_layer(padding.zeroed(x_BSH))
        logits = self.conv_kernel_layer(local * query)
        values = padding.zeroed(self.conv_out_layer(x_BSH))
        per_head = (x.unflatten(-1, (query.shape[-1] // self.head_size, -1)) for x in (values, logits))
        convolved = span_convolution(*per_head).flatten(-2)
        if not self.num_attending:
            return convolved, None
        q = query[..., : self.num_attending * self.head_size].unflatten(-1, (-1, self.head_size)).transpose(1, 2)
        k, v = self._heads(self.key, x_BSH), self._heads(self.value, x_BSH)
        context, weights = self._attend(q, k, v, self._bias(q, k, padding), output_attentions)
        return torch.cat([merge_heads(context), convolved], dim=-1), weights


class ConvolutionHeads(HeadOperation):
    """Heads that attend by position, plus the convolution of their values."""

    name = CONVOLUTION
    attends = Attends.POSITIONS
    reads = ("query", "key")

    def build(self, parameter: Any, size: int) -> dict[str, nn.Parameter | nn.Module]:
        return {
            "key_conv_attn_layer": SeparableConvolution(size, size, int(parameter)),
            "conv_kernel_layer": nn.Linear(size, int(parameter)),
            "conv_out_layer": nn.Linear(size, size),
        }

    def parameters(self, parameter: Any, size: int) -> list[Parameter]:
        kernel = Axis("fixed", int(parameter), space="kernel")
        key, value, local = (Axis("head", size, space=space) for space in ("key", "value", "local"))
        return _convolution_parameters(key, local, local._replace(space="product"), kernel, value, value)

    def mix(self, inputs: HeadInputs, own: Own, parameter: Any) -> Tensor:
        padding = inputs.padding
        assert inputs.key is not None
        local = own["key_conv_attn_layer"](padding.zeroed(inputs.key))
        logits = own["conv_kernel_layer"](local * inputs.query)
        return span_convolution(padding.zeroed(own["conv_out_layer"](inputs.value)), logits)

    def flops(self, parameter: Any, size: int, length: int) -> Flops:
        kernel = int(parameter)
        return Flops(length * (2 * size * size + 2 * size * kernel), 2 * length * size * kernel)

    def standard(self) -> StandardLayer:
        return _StandardMixedAttention()


class _StandardMixedAttention(StandardLayer):
    def build(self, layer: Layer, config: Any) -> Mixing:
        return MixedAttention(layer, config)

    def parameters(self, layer: Layer, sizes: Sizes) -> list[Parameter]:
        size, (num_attending, num_convolving) = layer.head_size, _split(layer)
        residual = Axis("residual", layer.hidden_size)
        convolving = Axis("convolving", size, num_convolving, "query")
        found = linear("attention.self.query", convolving, residual)
        if num_attending:
            for name in ("key", "value"):
                found += linear(f"attention.self.{name}", Axis("attending", size, num_attending, name), residual)
            found += distance_table(size, sizes)
        kernel = convolving._replace(size=int(layer.heads[0].parameter), space="kernel")
        local, product, value = (convolving._replace(space=space) for space in ("local", "product", "value"))
        for own in _convolution_parameters(residual, local, product, kernel, residual, value):
            found.append(own._replace(name=f"attention.self.{own.name}", role=f"attention.self.{own.role}"))
        return found + linear("attention.output.dense", residual, Axis("split", size, len(layer.heads), "value"))

    def flops(self, layer: Layer, length: int, positions: str) -> Flops:
        width, kernel, size = layer.hidden_size, int(layer.heads[0].parameter), layer.head_size
        num_attending, num_convolving = _split(layer)
        inner = num_convolving * size
        products = length * (3 * width * inner + width * kernel + inner * num_convolving * kernel)
        if num_attending:
            products += 2 * length * width * num_attending * size
            products += attention_products(num_attending, size, length, positions)
        return Flops(products, 2 * length * inner * kernel)

    def beside(self, layer: Layer) -> str | None:
        number = len(layer.heads)
        return f"a standard 'c' layer needs an even number of heads here. Got {number}" if number % 2 else None


def _split(layer: Layer) -> tuple[int, int]:
    """How many heads attend, and how many convolve."""
    return len(layer.heads) // 2, len(layer.heads) - len(layer.heads) // 2


def _convolution_parameters(
    convolved: Axis, local: Axis, product: Axis, kernel: Axis, read: Axis, value: Axis
) -> list[Parameter]:
    """The parameters of a convolution: of what is convolved to a local summary, of its product with queries to kernels,
    and of what is read to values."""
    one = Axis("fixed", 1)
    width = Axis("fixed", kernel.size)
    return [
        plain("key_conv_attn_layer.bias", local, one),
        diagonal("key_conv_attn_layer.depthwise.weight", convolved, one, width),
        plain("key_conv_attn_layer.pointwise.weight", local, convolved, one),
        *linear("conv_kernel_layer", kernel, product),
        *linear("conv_out_layer", value, read),
    ]


def span_convolution(values: Tensor, logits: Tensor) -> Tensor:
    """Each position's weighted sum of the K values around it; windows that leave the sequence read zeros.

    Args:
        values: (B, S, ..., D), zero at padded positions.
        logits: (B, S, ..., K); a softmax over K makes each position's kernel.

    Returns:
        (B, S, ..., D).
    """
    kernel = torch.softmax(logits, dim=-1)
    length, width = kernel.shape[1], kernel.shape[-1]
    padded = functional.pad(values, (0, 0) * (values.dim() - 2) + (width // 2, width // 2))
    result = padded[:, :length] * kernel[..., :1]
    for offset in range(1, width):  # by shifts, so that no window is ever copied out
        result = torch.addcmul(result, padded[:, offset : offset + length], kernel[..., offset : offset + 1])
    return result
