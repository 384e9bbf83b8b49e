"""Where a family of models keeps the linears of its encoder layers: the one thing masks need to know of a model.

Described are FlexiBERT, FlexiViT, and BERT and DeiT of transformers 5. Another family is described by a ``Family`` of
its own, given to ``MovementPruner``; with a ``converted`` to one of our models it can be compacted too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import BertPreTrainedModel, DeiTPreTrainedModel

from ..conversion.bert import from_bert
from ..conversion.deit import from_deit
from ..model.modeling_flexibert import FlexiBERTPreTrainedModel
from ..vision.modeling_flexivit import FlexiViTPreTrainedModel
from .spec_space import check_single


@dataclass(frozen=True, kw_only=True)
class Family:
    """Paths of modules. A path that a layer lacks (a transform has no keys) counts as no linear.

    Args:
        name: for messages.
        model_class: the class that the family's models are instances of.
        layers: path of the list of layers, below ``model.base_model``.
        query, key, value, output: paths of the attention's linears, below a layer.
        stack: path of the first feed-forward linear, or of a ``Sequential`` of linears and activations.
        stack_output: path of the linear back to the layer's width.
        converted: a model with plain linears -> one of ours that computes the same; None: compaction is refused.
    """

    name: str
    model_class: type
    layers: str
    query: str
    key: str
    value: str
    output: str
    stack: str
    stack_output: str
    converted: Callable[[Any], FlexiBERTPreTrainedModel] | None = None


@dataclass(frozen=True)
class LayerLinears:
    """The linears of one layer: ``attention`` (query, key and value, as far as there are), the attention's
    ``output``, and the feed-forward ``stack`` from the layer's width and back to it (two or more)."""

    name: str
    attention: dict[str, nn.Linear]
    output: nn.Linear
    stack: list[nn.Linear]

    def named(self) -> list[tuple[str, nn.Linear]]:
        """Every linear, by what it is: ``query``, ``key``, ``value``, ``output``, ``intermediate0``, ...,
        ``dense``."""
        inner = [(f"intermediate{number}", linear) for number, linear in enumerate(self.stack[:-1])]
        return [*self.attention.items(), ("output", self.output), *inner, ("dense", self.stack[-1])]


def _unchanged(model: Any) -> FlexiBERTPreTrainedModel:
    return model


_BERT_LIKE = {
    "layers": "encoder.layer",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "stack_output": "output.dense",
}
# FlexiViT before FlexiBERT, of which it is a subclass.
FAMILIES = (
    *(
        Family(name=name, model_class=ours, stack="intermediate.sequential", converted=_unchanged, **_BERT_LIKE)
        for name, ours in (("FlexiViT", FlexiViTPreTrainedModel), ("FlexiBERT", FlexiBERTPreTrainedModel))
    ),
    Family(
        name="BERT",
        model_class=BertPreTrainedModel,
        stack="intermediate.dense",
        converted=from_bert,
        **_BERT_LIKE,
    ),
    Family(
        name="DeiT",
        model_class=DeiTPreTrainedModel,
        layers="layers",
        query="attention.q_proj",
        key="attention.k_proj",
        value="attention.v_proj",
        output="attention.o_proj",
        stack="mlp.fc1",
        stack_output="mlp.fc2",
        converted=from_deit,
    ),
)


def family_of(model: nn.Module) -> Family:
    """The description of a model's family.

    Raises:
        ValueError: when it is none of those known.
    """
    for family in FAMILIES:
        if isinstance(model, family.model_class):
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise ValueError(
        f"'model' must be of a family whose linears are known: {known}. Got {type(model).__name__}; describe where "
        "another keeps them with a flexibert.pruning.Family and give it as 'family'"
    )


def layers_of(model: Any, family: Family) -> list[LayerLinears]:
    """The linears of every layer of ``model``, first layer first.

    Raises:
        ValueError: when a path of the description leads nowhere, or to something else.
    """
    check_single(getattr(getattr(model, "config", None), "model_spec", None))
    base = getattr(model, "base_model", model)
    layers = _at(base, family.layers)
    if layers is None:
        raise ValueError(f"Family {family.name}: 'layers' must be a path below the base model. Got '{family.layers}'")
    return [_layer_linears(layer, family, f"{family.layers}.{number}") for number, layer in enumerate(layers)]


def _layer_linears(layer: nn.Module, family: Family, name: str) -> LayerLinears:
    attention = {key: _at(layer, getattr(family, key)) for key in ("query", "key", "value")}
    stack = _at(layer, family.stack)
    inner = [module for module in stack if isinstance(module, nn.Linear)] if _is_list(stack) else [stack]
    single = {"output": _at(layer, family.output), "stack_output": _at(layer, family.stack_output)}
    found = {key: linear for key, linear in attention.items() if linear is not None}
    required = [*found.items(), *single.items(), *(("stack", linear) for linear in inner)]
    for key, linear in required:
        if not isinstance(linear, nn.Linear):
            raise ValueError(
                f"Family {family.name}: '{key}' must be the path of a Linear below '{name}'. Got "
                f"'{getattr(family, key)}', {'nothing' if linear is None else 'a ' + type(linear).__name__}"
            )
    if not found:
        raise ValueError(f"Family {family.name}: 'query', 'key' and 'value' lead nowhere below '{name}'")
    return LayerLinears(name, found, single["output"], [*inner, single["stack_output"]])


def _is_list(module: Any) -> bool:
    return isinstance(module, nn.Sequential | nn.ModuleList)


def _at(module: Any, path: str) -> Any:
    """What a dotted path leads to, or None."""
    for part in path.split("."):
        module = getattr(module, part, None)
    return module
