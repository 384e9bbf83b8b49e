"""How much the loss depends on a head or a neuron, to first order, from one pass over a few hundred examples.

The importance of a unit is the mean over examples of (sum of a dL/da over the unit's activations a)^2: the squared
first-order change of the loss when the unit is set to zero (Molchanov et al. 2019, eq. 8; Michel et al. 2019 take the
absolute value).
Shapes: B batch, S sequence, W width of what a linear reads.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .families import family_of, layers_of

Batch = Mapping[str, Any]


@dataclass(frozen=True)
class Importance:
    """The importance of what one layer has: one number per head, and per neuron of each feed-forward width."""

    heads: Tensor
    neurons: list[Tensor]


def importance_of(model: Any, examples: Iterable[Batch]) -> list[Importance]:
    """Importances of every layer of one of our models, in evaluation mode.

    Args:
        model: FlexiBERT or FlexiViT, with a task head.
        examples: batches with labels, as the model is called with them.

    Raises:
        ValueError: when there are no examples, or the model returns no loss.
    """
    layers = layers_of(model, family_of(model))
    readers = [linear for layer in layers for linear in (layer.output, *layer.stack[1:])]
    gates: dict[nn.Linear, Tensor] = {}
    totals: dict[nn.Linear, Tensor] = {}
    sizes = dict.fromkeys(readers, 1)  # of the units in what a linear reads
    sizes |= {layer.output: spec.head_size for layer, spec in zip(layers, model.config.model_spec.layers, strict=True)}
    number = 0
    was_training = model.training
    hooks = [linear.register_forward_pre_hook(_gate_into(gates)) for linear in readers]
    try:
        model.eval()
        for batch in examples:
            outputs = model(**on_device(batch, model))
            if getattr(outputs, "loss", None) is None:
                raise ValueError("'examples' must be batches with labels, from which the model computes a loss")
            gradients = torch.autograd.grad(outputs.loss, [gates[linear] for linear in readers])
            size = gradients[0].shape[0]
            for linear, gradient in zip(readers, gradients, strict=True):
                per_example = gradient.squeeze(1) * size  # of that example's own loss, which the mean divides by B
                units = per_example.unflatten(1, (-1, sizes[linear])).sum(-1)
                totals[linear] = totals.get(linear, 0) + units.square().sum(0)
            number += size
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    if not number:
        raise ValueError("'examples' must hold at least one batch. Got none")
    means = {linear: total / number for linear, total in totals.items()}
    return [Importance(means[layer.output], [means[linear] for linear in layer.stack[1:]]) for layer in layers]


def on_device(batch: Batch, model: Any) -> dict[str, Any]:
    """The batch where the model is."""
    return {name: x.to(model.device) if isinstance(x, Tensor) else x for name, x in batch.items()}


def _gate_into(gates: dict[nn.Linear, Tensor]) -> Any:
    """A hook that multiplies what a linear reads (B, S, W) by ones (B, 1, W), whose gradient is sum over S of
    a dL/da."""

    def multiplied(linear: nn.Linear, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x_BSW = inputs[0]
        gates[linear] = torch.ones_like(x_BSW[:, :1], requires_grad=True)
        return (x_BSW * gates[linear], *inputs[1:])

    return multiplied
