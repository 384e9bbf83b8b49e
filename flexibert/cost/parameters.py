"""Every parameter of an encoder from its spec alone: names, shapes, the meaning of each axis (``mixing.axes``).

Names are those of ``encoder.py`` and the mixing modules; a test compares them with built networks.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from design_space import Layer, ModelSpec

from ..mixing.axes import Axis, Parameter, Sizes, linear, norm, plain
from ..mixing.layer import mixing_parameters


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


@lru_cache(maxsize=65536)
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
    """Parameters of the embeddings before a first layer of a width."""
    residual = Axis("residual", width)
    vector = residual if sizes.word_vector_size is None else Axis("fixed", sizes.word_vector_size)
    tables = {"word_embeddings": sizes.vocab_size, "token_type_embeddings": sizes.type_vocab_size}
    if sizes.position_embedding_type == "absolute":
        tables["position_embeddings"] = sizes.max_position_embeddings
    found = [plain(f"embeddings.{name}.weight", Axis("fixed", rows), vector) for name, rows in tables.items()]
    found += norm("embeddings.LayerNorm", vector)
    return found if vector is residual else found + linear("embeddings.projection", residual, vector)


def pooler_parameters(width: int) -> list[Parameter]:
    """Parameters of the pooler, its width being the last layer's."""
    return linear("pooler.dense", Axis("residual", width), Axis("residual", width))


def mixing_names(
    source: Layer,
    target: Layer,
    is_source_hetero: bool,
    is_target_hetero: bool,
    heads: Sequence[int] | None = None,
) -> dict[str, str]:
    """The name of each parameter of a layer's token mixing -> the name it has in the layer that its heads are from.

    A parameter that a standard layer has once, such as W, is that of every head in the hetero format. Some of the names
    are those of parameters that only models with certain positions have.

    Args:
        heads: per head of the target, its place in the source; default: the same.
    """
    sizes = Sizes(position_embedding_type="relative_key_query")  # with which a layer has most parameters
    known = {(p.role, p.head): p.name for p in mixing_parameters(source, is_source_hetero, sizes)}
    names = {}
    for parameter in mixing_parameters(target, is_target_hetero, sizes):
        place = parameter.head if parameter.head is None or heads is None else heads[parameter.head]
        names[parameter.name] = known.get((parameter.role, place)) or known.get((parameter.role, None), parameter.name)
    return names


@lru_cache(maxsize=65536)
def layer_parameters(layer: Layer, next_width: int, is_hetero: bool, sizes: Sizes) -> tuple[Parameter, ...]:
    """Parameters of one layer; names start below ``encoder.layer.{i}.``."""
    residual = Axis("residual", layer.hidden_size)
    found = mixing_parameters(layer, is_hetero, sizes)
    found += norm("attention.output.LayerNorm", residual)
    before = residual
    for number, width in enumerate(layer.feed_forward):
        after = Axis(f"ff{number}", width)
        found += linear(f"intermediate.sequential.{2 * number}", after, before)
        before = after
    found += linear("output.dense", residual, before._replace(kind="ff_last"))
    found += norm("output.LayerNorm", residual)
    if next_width != layer.hidden_size:
        found += linear("output.proj_head", Axis("next", next_width), residual)
    return tuple(found)
