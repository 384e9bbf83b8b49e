"""Every parameter of an encoder from its spec alone: names, shapes, the meaning of each axis. Pure Python.

An axis is ``blocks`` pieces of ``size`` side by side, and has a kind that says which space it lives in:

    residual      the layer's width H
    next          the next layer's width (of ``proj_head``)
    heads         N heads of size D
    head          one head, of size D
    attending     of a standard convolution layer, the heads that attend
    convolving    and those that convolve
    split         both, in this order
    ff0, ff1, ... widths of the feed-forward stack; ``ff_last`` is the last one, as ``output.dense`` reads it
    fixed         tables and kernels: the same size in any two encoders compared

Names are those of ``encoder.py`` and the mixing modules; a test compares them with built networks.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from design_space import Layer, ModelSpec


class Sizes(NamedTuple):
    """What the parameters of an encoder depend on beside its spec; defaults are those of ``FlexiBERTConfig``."""

    vocab_size: int = 30522
    max_position_embeddings: int = 514
    type_vocab_size: int = 2
    position_embedding_type: str = "relative_key"

    @staticmethod
    def of(config: Any) -> "Sizes":
        """The sizes in a configuration, or the defaults for None. Raises ``ValueError`` for one without them."""
        if config is not None and not all(hasattr(config, name) for name in Sizes._fields):
            raise ValueError(
                f"'config' must be a FlexiBERTConfig, with {', '.join(Sizes._fields)}. Got {type(config).__name__}"
            )
        return Sizes() if config is None else Sizes(*(getattr(config, name) for name in Sizes._fields))


class Axis(NamedTuple):
    """One axis of a parameter: ``blocks`` pieces of ``size``."""

    kind: str
    size: int
    blocks: int = 1

    @property
    def length(self) -> int:
        return self.size * self.blocks


class Parameter(NamedTuple):
    """One parameter. ``role`` is its name without the counter that parameters of single heads carry; ``head`` is that
    head's place.

    ``is_diagonal``: it multiplies each entry of a vector by itself (LayerNorm weights, depthwise kernels), as a
    diagonal matrix would.
    """

    name: str
    axes: tuple[Axis, ...]
    role: str
    head: int | None = None
    is_diagonal: bool = False

    @property
    def numel(self) -> int:
        return prod(axis.length for axis in self.axes)


def count_parameters(spec: ModelSpec, config: Any = None, *, pooler: bool = True) -> int:
    """Exact number of parameters of the encoder of ``spec``: embeddings, layers and, if wanted, pooler; without a task
    head.

    Args:
        spec: the architecture.
        config: a ``FlexiBERTConfig`` to take vocabulary, positions and segments from; its own spec does not matter.
            Default: its defaults.
        pooler: whether the pooler counts.

    Raises:
        ValueError: for a configuration of another model, such as one of images.
    """
    sizes = Sizes.of(config)
    if spec.groups:
        joint_pooler = pooler_parameters(spec.layers[-1].hidden_size) if pooler else []
        own = sum(count_parameters(group, config, pooler=False) for group in spec.groups)
        return own + sum(parameter.numel for parameter in joint_pooler)
    is_hetero = spec.format == "hetero"
    first, last = spec.layers[0].hidden_size, spec.layers[-1].hidden_size
    return embedding_and_pooler_parameters(first, last, sizes, pooler=pooler) + sum(
        layer_parameter_count(layer, width, is_hetero, sizes)
        for layer, width in zip(spec.layers, next_widths(spec), strict=True)
    )


def embedding_and_pooler_parameters(first: int, last: int, sizes: Sizes, *, pooler: bool) -> int:
    """Number of parameters outside the layers, of which the first and the last have these widths."""
    parameters = embedding_parameters(first, sizes) + (pooler_parameters(last) if pooler else [])
    return sum(parameter.numel for parameter in parameters)


@lru_cache(maxsize=65536)
def layer_parameter_count(layer: Layer, next_width: int, is_hetero: bool, sizes: Sizes) -> int:
    """Number of parameters of one layer."""
    return sum(parameter.numel for parameter in layer_parameters(layer, next_width, is_hetero, sizes))


def next_widths(spec: ModelSpec) -> list[int]:
    """Per layer, the width of what it hands on: the next layer's, and the last layer's own."""
    widths = [layer.hidden_size for layer in spec.layers]
    return [*widths[1:], widths[-1]]


def embedding_parameters(width: int, sizes: Sizes) -> list[Parameter]:
    """Parameters of the embeddings, their width being the first layer's."""
    residual = Axis("residual", width)
    tables = {"word_embeddings": sizes.vocab_size, "token_type_embeddings": sizes.type_vocab_size}
    if sizes.position_embedding_type == "absolute":
        tables["position_embeddings"] = sizes.max_position_embeddings
    names = {f"{name}.weight": (Axis("fixed", rows), residual) for name, rows in tables.items()}
    return [_plain(f"embeddings.{name}", *axes) for name, axes in names.items()] + _norm(
        "embeddings.LayerNorm", residual
    )


def pooler_parameters(width: int) -> list[Parameter]:
    """Parameters of the pooler, its width being the last layer's."""
    return _linear("pooler.dense", Axis("residual", width), Axis("residual", width))


@lru_cache(maxsize=65536)
def layer_parameters(layer: Layer, next_width: int, is_hetero: bool, sizes: Sizes) -> tuple[Parameter, ...]:
    """Parameters of one layer; names start below ``encoder.layer.{i}.``."""
    residual = Axis("residual", layer.hidden_size)
    found = list(_hetero_mixing(layer, sizes) if is_hetero else _standard_mixing(layer, sizes))
    heads = Axis("heads", layer.head_size, len(layer.heads))
    if not is_hetero and layer.heads[0].operation == "c":
        found += _split_output(layer, residual)
    else:
        found += _linear("attention.output.dense", residual, heads)
    found += _norm("attention.output.LayerNorm", residual)
    before = residual
    for number, width in enumerate(layer.feed_forward):
        after = Axis(f"ff{number}", width)
        found += _linear(f"intermediate.sequential.{2 * number}", after, before)
        before = after
    found += _linear("output.dense", residual, before._replace(kind="ff_last"))
    found += _norm("output.LayerNorm", residual)
    if next_width != layer.hidden_size:
        found += _linear("output.proj_head", Axis("next", next_width), residual)
    return tuple(found)


def _standard_mixing(layer: Layer, sizes: Sizes) -> Iterator[Parameter]:
    head, num_heads = layer.heads[0], len(layer.heads)
    residual, one_head = Axis("residual", layer.hidden_size), Axis("head", layer.head_size)
    if head.operation == "c":
        yield from _convolution_mixing(layer, sizes)
        return
    heads = Axis("heads", layer.head_size, num_heads)
    is_content = head.operation == "sa"
    if is_content or sizes.position_embedding_type != "absolute":
        yield from _linear("attention.self.query", heads, residual)
    if is_content or sizes.position_embedding_type == "relative_key_query":
        yield from _linear("attention.self.key", heads, residual)
    yield from _linear("attention.self.value", heads, residual)
    if head.parameter == "wma":
        yield _plain("attention.self.W", one_head, one_head)
    yield from _distances(one_head, sizes)


def _convolution_mixing(layer: Layer, sizes: Sizes) -> Iterator[Parameter]:
    kernel, size = int(layer.heads[0].parameter), layer.head_size
    residual, one = Axis("residual", layer.hidden_size), Axis("fixed", 1)
    attending, convolving = _split_heads(layer)
    yield from _linear("attention.self.query", convolving, residual)
    if attending.blocks:
        yield from _linear("attention.self.key", attending, residual)
        yield from _linear("attention.self.value", attending, residual)
        yield from _distances(Axis("head", size), sizes)
    separable = "attention.self.key_conv_attn_layer"
    yield _plain(f"{separable}.bias", convolving, one)
    yield _diagonal(f"{separable}.depthwise.weight", residual, one, Axis("fixed", kernel))
    yield _plain(f"{separable}.pointwise.weight", convolving, residual, one)
    yield from _linear("attention.self.conv_kernel_layer", convolving._replace(size=kernel), convolving)
    yield from _linear("attention.self.conv_out_layer", convolving, residual)


def _split_heads(layer: Layer) -> tuple[Axis, Axis]:
    """The axes of the heads that attend and of those that convolve."""
    num_attending = len(layer.heads) // 2
    num_convolving = len(layer.heads) - num_attending
    return Axis("attending", layer.head_size, num_attending), Axis("convolving", layer.head_size, num_convolving)


def _split_output(layer: Layer, residual: Axis) -> list[Parameter]:
    return _linear("attention.output.dense", residual, Axis("split", layer.head_size, len(layer.heads)))


def _hetero_mixing(layer: Layer, sizes: Sizes) -> Iterator[Parameter]:
    residual, heads = Axis("residual", layer.hidden_size), Axis("heads", layer.head_size, len(layer.heads))
    one_head, one = Axis("head", layer.head_size), Axis("fixed", 1)
    is_content = any(head.operation != "l" for head in layer.heads)
    if is_content or sizes.position_embedding_type != "absolute":
        yield from _linear("attention.self.query", heads, residual)
    if is_content or sizes.position_embedding_type == "relative_key_query":
        yield from _linear("attention.self.key", heads, residual)
    yield from _linear("attention.self.value", heads, residual)
    yield from _distances(one_head, sizes)
    num_weighted = num_convolving = 0
    for place, head in enumerate(layer.heads):
        if head.parameter == "wma":
            yield Parameter(f"attention.self.W{num_weighted}", (one_head, one_head), "attention.self.W", place)
            num_weighted += 1
        elif head.operation == "c":
            kernel = Axis("fixed", int(head.parameter))
            parts = [
                _plain("attention.self.key_conv_attn_layer.bias", one_head, one),
                _diagonal("attention.self.key_conv_attn_layer.depthwise.weight", one_head, one, kernel),
                _plain("attention.self.key_conv_attn_layer.pointwise.weight", one_head, one_head, one),
                *_linear("attention.self.conv_kernel_layer", kernel, one_head),
                *_linear("attention.self.conv_out_layer", one_head, one_head),
            ]
            for part in parts:
                name = part.name.replace("_layer.", f"_layer{num_convolving}.")
                yield part._replace(name=name, head=place)
            num_convolving += 1


def _distances(one_head: Axis, sizes: Sizes) -> Iterator[Parameter]:
    if sizes.position_embedding_type != "absolute":
        table = Axis("fixed", 2 * sizes.max_position_embeddings - 1)
        yield _plain("attention.self.distance_embedding.weight", table, one_head)


def _plain(name: str, *axes: Axis) -> Parameter:
    return Parameter(name, axes, name)


def _diagonal(name: str, *axes: Axis) -> Parameter:
    return Parameter(name, axes, name, is_diagonal=True)


def _linear(name: str, out_axis: Axis, in_axis: Axis) -> list[Parameter]:
    return [_plain(f"{name}.weight", out_axis, in_axis), _plain(f"{name}.bias", out_axis)]


def _norm(name: str, axis: Axis) -> list[Parameter]:
    return [_diagonal(f"{name}.weight", axis), _plain(f"{name}.bias", axis)]
