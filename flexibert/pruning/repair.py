"""Least squares after removal: what is left learns to say what all said before (one linear at a time).

Layer by layer, the linear that read the removed heads or neurons gets the weights with which, on the examples, its
output plus the residual comes closest to the parent's; what earlier layers got wrong is made up for too.
Shapes: B batch, S sequence, T real tokens of all examples, W inputs and H outputs of a linear.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..mixing.attention import Padding
from .families import family_of, layers_of
from .importance import Batch, on_device

RIDGE = 1e-3  # of the mean square of an input: keeps weights near the old ones where examples do not tell


class _Reached(Exception):
    """The encoder was entered: the rest of the model need not run."""


@torch.no_grad()
def repair(small: Any, parent: Any, examples: Sequence[Batch]) -> None:
    """Refits, in place, every linear of ``small`` that reads fewer inputs than the parent's.

    Args:
        small: made by ``extract_submodel`` from ``parent``, with as many layers.
        parent: of the same class; it is not changed.
        examples: batches; labels are not used.
    """
    was_training = small.training, parent.training
    small.eval(), parent.eval()
    entered = [_entered(parent, batch) for batch in examples]
    paddings = [padding for _, padding in entered]
    of_parent = [states for states, _ in entered]
    of_small = list(of_parent)
    described = zip(*(layers_of(model, family_of(model)) for model in (small, parent)), strict=True)
    layers = zip(small.base_model.encoder.layer, parent.base_model.encoder.layer, described, strict=True)
    for layer, parents_layer, (linears, parents_linears) in layers:
        for linear, parents_linear, block in _readers(layer, linears, parents_linears):
            if linear.in_features == parents_linear.in_features:
                continue
            parents_block = parents_layer.get_submodule(block) if block else None
            targets = _seen(parents_layer, parents_linear, parents_block, of_parent, paddings)
            found = _seen(layer, linear, layer.get_submodule(block) if block else None, of_small, paddings)
            _refit(linear, found, targets, paddings)
        of_parent = [parents_layer(x, padding, False)[0] for x, padding in zip(of_parent, paddings, strict=True)]
        of_small = [layer(x, padding, False)[0] for x, padding in zip(of_small, paddings, strict=True)]
    small.train(was_training[0]), parent.train(was_training[1])


def _readers(layer: nn.Module, linears: Any, parents: Any) -> Iterator[tuple[nn.Linear, nn.Linear, str]]:
    """Linears that read heads or neurons, in the order of the computation, with the module that adds the residual."""
    yield linears.output, parents.output, "attention.output"
    for linear, parents_linear in zip(linears.stack[1:-1], parents.stack[1:-1], strict=True):
        if linear.out_features == parents_linear.out_features:
            yield linear, parents_linear, ""
    yield linears.stack[-1], parents.stack[-1], "output"


def _seen(
    layer: nn.Module, linear: nn.Linear, block: nn.Module | None, states: list[Tensor], paddings: list[Padding]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields, batch by batch, what the linear read (B, S, W) and its output plus the residual (B, S, H)."""
    seen: dict[str, Tensor] = {}
    hooks = [linear.register_forward_hook(lambda _, inputs, output: seen.update(x=inputs[0], y=output))]
    if block is not None:
        hooks.append(block.register_forward_pre_hook(lambda _, inputs: seen.update(residual=inputs[1])))
    try:
        for x_BSH, padding in zip(states, paddings, strict=True):
            layer(x_BSH, padding, False)
            yield seen["x"], seen["y"] + seen["residual"] if block is not None else seen["y"]
    finally:
        for hook in hooks:
            hook.remove()


def _refit(linear: nn.Linear, found: Iterator[Any], targets: Iterator[Any], paddings: list[Padding]) -> None:
    """Adds to weight and bias the ridge regression of what is missing on what is read."""
    width = linear.in_features + 1
    gram = linear.weight.new_zeros(width, width, dtype=torch.float64)
    product = linear.weight.new_zeros(width, linear.out_features, dtype=torch.float64)
    for (x, y), (_x, target), padding in zip(found, targets, paddings, strict=True):
        is_real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        if padding.scores is not None:
            is_real = (padding.scores[:, 0, 0] == 0).expand_as(is_real)
        x_TW, missing_TH = x[is_real], (target - y)[is_real]
        x_TW = torch.cat([x_TW, torch.ones_like(x_TW[:, :1])], dim=1)
        gram.add_((x_TW.T @ x_TW).double())
        product.add_((x_TW.T @ missing_TH).double())
    scale = RIDGE * gram.diagonal().mean()
    delta = torch.linalg.solve(gram + scale * torch.eye(len(gram), dtype=gram.dtype, device=gram.device), product)
    linear.weight.add_(delta[:-1].T.to(linear.weight))
    linear.bias.add_(delta[-1].to(linear.bias))


def _entered(model: Any, batch: Batch) -> tuple[Tensor, Padding]:
    """The states and the padding with which a model enters its encoder."""
    found: list[Any] = []

    def stop(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.extend(inputs[:2])
        raise _Reached

    hook = model.base_model.encoder.register_forward_pre_hook(stop)
    try:
        model(**on_device(batch, model))
    except _Reached:
        pass
    finally:
        hook.remove()
    return found[0], found[1]
