"""What a trained model computes on examples, recorded once: what its children are brought near to.

Post-norm layers (of text) and pre-norm ones (of images) take the same steps here:

    mixed  = x + output(mixing(before_mixing(x)))
    m      = after_mixing(mixed)
    summed = m + dense(stack(before_stack(m)))
    next x = projection(after_stack(summed))

where LayerNorms and projections that a layer does not have are the identity.
Shapes: B batch, S sequence, T real tokens of all batches, H width of a layer.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..mixing.attention import Padding
from ..vision.vision_layers import PreNormEncoder, PreNormLayer
from .importance import Batch, on_device

MOST_TOKENS = 4096
MEAN = -1
"""In place of a position: the mean over all real tokens of a sequence."""


class LayerSteps:
    """The modules of a layer by the steps above."""

    def __init__(self, layer: Any) -> None:
        is_pre_norm, nothing = isinstance(layer, PreNormLayer), nn.Identity()
        self.before_mixing: nn.Module = layer.attention.LayerNorm if is_pre_norm else nothing
        self.mixing: nn.Module = layer.attention.self
        self.output: nn.Linear = layer.attention.output.dense
        self.after_mixing: nn.Module = nothing if is_pre_norm else layer.attention.output.LayerNorm
        self.before_stack: nn.Module = layer.LayerNorm if is_pre_norm else nothing
        self.stack: nn.Sequential = layer.intermediate.sequential
        self.dense: nn.Linear = layer.output.dense
        self.after_stack: nn.Module = nothing if is_pre_norm else layer.output.LayerNorm
        self.projection: nn.Module = nothing if layer.output.proj_head is None else layer.output.proj_head


class ExampleTokens:
    """The tokens of batches of examples: (B, S, ...) per batch, or the real ones of all side by side, (T, ...)."""

    def __init__(self, paddings: list[Padding], shapes: list[tuple[int, int]], device: torch.device) -> None:
        self.paddings = paddings
        self.is_real = [torch.ones(shape, dtype=torch.bool, device=device) for shape in shapes]
        for is_real, padding in zip(self.is_real, paddings, strict=True):
            if padding.scores is not None:
                is_real &= padding.scores[:, 0, 0] == 0
        self._counts = [int(is_real.sum()) for is_real in self.is_real]

    def joined(self, padded: Iterable[Tensor]) -> Tensor:
        """The real tokens (T, ...)."""
        return torch.cat([x[is_real] for x, is_real in zip(padded, self.is_real, strict=True)])

    def padded(self, joined: Tensor) -> list[Tensor]:
        """Batches (B, S, ...), with zeros at padded positions."""
        found = []
        for x, is_real in zip(joined.split(self._counts), self.is_real, strict=True):
            found.append(x.new_zeros(*is_real.shape, *x.shape[1:]))
            found[-1][is_real] = x
        return found

    def mixed(self, mixing: nn.Module, joined: Tensor) -> Tensor:
        """What a layer's heads make of the tokens (T, H)."""
        batches = zip(self.padded(joined), self.paddings, strict=True)
        return self.joined(mixing(x_BSH, padding, False)[0] for x_BSH, padding in batches)

    def read(self, joined: Tensor, position: int | None) -> Tensor:
        """The tokens (N, ...) at a position of each of N sequences, or with ``MEAN`` the means of their tokens; all of
        them without a position."""
        if position is None:
            return joined
        if position == MEAN:
            lengths = torch.cat([is_real.sum(1) for is_real in self.is_real]).tolist()
            return torch.stack([tokens.mean(0) for tokens in joined.split(lengths)])
        places = (torch.arange(x.shape[1], device=x.device).expand_as(x) == position for x in self.is_real)
        return joined[self.joined(places)]


class ParentStates:
    """The states of all real tokens of a model in evaluation mode, between the steps of its layers.

    Attributes:
        batches: the first of the examples, which have ``MOST_TOKENS`` tokens.
        tokens: theirs.
        steps: the layers.
        entered: states that enter the first layer, (T, H).
        mixed, summed: per layer, as above, (T, H).
    """

    @torch.no_grad()
    def __init__(self, model: Any, examples: Iterable[Batch]) -> None:
        self.model = model
        self.batches: list[Batch] = []
        states, paddings, number = [], [], 0
        for batch in examples:
            if number >= MOST_TOKENS:
                break
            x_BSH, padding = entered(model, batch)
            self.batches.append(batch)
            states.append(x_BSH)
            paddings.append(padding)
            number += x_BSH[..., 0].numel() if padding.scores is None else int((padding.scores == 0).sum())
        self.tokens = ExampleTokens(paddings, [(x.shape[0], x.shape[1]) for x in states], model.device)
        self.steps = [LayerSteps(layer) for layer in model.base_model.encoder.layer]
        self.entered = self.tokens.joined(states)
        self.mixed: list[Tensor] = []
        self.summed: list[Tensor] = []
        for place, step in enumerate(self.steps):
            x_TH = self.entering(place)
            self.mixed.append(x_TH + step.output(self.tokens.mixed(step.mixing, step.before_mixing(x_TH))))
            m_TH = step.after_mixing(self.mixed[place])
            self.summed.append(m_TH + step.dense(step.stack(step.before_stack(m_TH))))

    def entering(self, place: int) -> Tensor:
        """The states that enter a layer, or, after the last one, leave the encoder but for its last LayerNorm."""
        return self.entered if place == 0 else self.steps[place - 1].projection(self.normed(place - 1))

    def normed(self, place: int) -> Tensor:
        """The states that a layer hands on, before a projection."""
        return self.steps[place].after_stack(self.summed[place])


def last_norm(model: Any) -> nn.Module:
    """What follows the layers of an encoder."""
    encoder = model.base_model.encoder
    return encoder.LayerNorm if isinstance(encoder, PreNormEncoder) else nn.Identity()


class _Reached(Exception):
    """The encoder was entered: the rest of the model need not run."""


def entered(model: Any, batch: Batch) -> tuple[Tensor, Padding]:
    """The states (B, S, H) and the padding with which a model enters its encoder."""
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
