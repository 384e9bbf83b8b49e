"""What the conversions of all families share: the class of the same head, weights copied by name, differences told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from design_space import Layer

Classes = Mapping[type, type]  # Hugging Face's class -> ours


def our_class(model: Any, classes: Classes) -> Any:
    """Our class of the same head. Raises ``ValueError`` when there is none."""
    if type(model) not in classes:
        known = ", ".join(theirs.__name__ for theirs in classes)
        raise ValueError(f"'model' must be one of {known} of transformers. Got {type(model).__name__}")
    return classes[type(model)]


def their_class(model: Any, classes: Classes, family: str) -> Any:
    """Hugging Face's class of the same head. Raises ``ValueError`` when the model is not of our ``family``."""
    theirs = next((theirs for theirs, ours in classes.items() if type(model) is ours), None)
    if theirs is None:
        raise ValueError(f"'model' must be a {family} model. Got {type(model).__name__}")
    return theirs


def converted_from(model: Any) -> str:
    """The step of a lineage that names a model of transformers."""
    name = Path(model.config.name_or_path or "").name
    return f"Converted from {type(model).__name__}{f' `{name}`' if name else ''}."


def uneven_layers(layers: Sequence[Layer], is_full_width: bool = False) -> list[str]:
    """What keeps layers from being those of a homogeneous transformer, a sentence each.

    Args:
        is_full_width: whether heads have to add up to the width of their layer.
    """
    problems = []
    for number, layer in enumerate(layers):
        if not layer.has_dot_product_attention:
            problems.append(f"layer {number} must have self-attention heads (sa, sdp) only")
        if is_full_width and len(layer.heads) * layer.head_size != layer.hidden_size:
            problems.append(f"layer {number} must have heads that add up to its width {layer.hidden_size}")
        if len(layer.feed_forward) != 1:
            problems.append(f"layer {number} must have one feed-forward width. Got {list(layer.feed_forward)}")
        if layer != layers[0]:
            problems.append(f"layer {number} must be like layer 0")
    return problems


def homogeneous_shape(layers: Sequence[Layer]) -> dict[str, int]:
    """The options of Hugging Face's configurations for layers that are all like the first."""
    return {
        "hidden_size": layers[0].hidden_size,
        "num_hidden_layers": len(layers),
        "num_attention_heads": len(layers[0].heads),
        "intermediate_size": layers[0].feed_forward[0],
    }


def built_like(like: Any, model_class: Any, config: Any) -> Any:
    """A new model with a pooler, attention, type, device and mode as another's."""
    config._attn_implementation = like.config._attn_implementation
    is_encoder = like.base_model is like
    options = {"add_pooling_layer": getattr(like, "pooler", None) is not None} if is_encoder else {}
    return model_class(config, **options).to(device=like.device, dtype=like.dtype).train(like.training)


@torch.no_grad()
def copy_weights(
    ours: nn.Module,
    theirs: nn.Module,
    renamed: Mapping[str, str],
    *,
    into_ours: bool,
    adapted: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> None:
    """Copy the parameters of one model into the other's, by name.

    Args:
        renamed: parts of the names of parameters, ours -> Hugging Face's, replaced in this order.
        adapted: their parameters by their names -> those that ours correspond to, where shapes or numbers differ.

    Raises:
        ValueError: naming those that only one of them has, or in another shape.
    """
    pairs = []
    for name, parameter in ours.named_parameters(remove_duplicate=False):
        if ".intermediate.dense." in name:  # the second name of ``sequential.0``
            continue
        for our_part, their_part in renamed.items():
            name = name.replace(our_part, their_part)
        pairs.append((name, parameter))
    other = adapted(dict(theirs.named_parameters(remove_duplicate=False)))
    problems = {name for name, parameter in pairs if name not in other or other[name].shape != parameter.shape}
    problems |= other.keys() - {name for name, _ in pairs}
    if problems:
        names = ", ".join(sorted(problems)[:5])
        raise ValueError(f"'model' must have the parameters of its class. It differs in {names}")
    for name, parameter in pairs:
        target, source = (parameter, other[name]) if into_ours else (other[name], parameter)
        target.copy_(source)


@torch.no_grad()
def evaluated(models: Sequence[Any], inputs: Mapping[str, Tensor]) -> Iterator[dict[str, Any]]:
    """The outputs of each model in evaluation mode, all hidden states among them, on the processor."""
    for model in models:
        was_training = model.training
        found = model.eval()(**{name: x.to(model.device) for name, x in inputs.items()}, output_hidden_states=True)
        model.train(was_training)
        states = [state.cpu() for state in found.hidden_states]
        yield {name: x.cpu() for name, x in found.items() if name != "hidden_states"} | {"hidden_states": states}
