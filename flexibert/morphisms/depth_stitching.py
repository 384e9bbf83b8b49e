"""Stitching in depth: the lower layers of one encoder under the upper layers of another, joined in closed form.

A linear map from the states that leave the lower layers to those that enter the upper ones is fitted by ridge
regression on the states of a few hundred texts (model stitching, Lenc and Vedaldi 2015; Bansal et al. 2021). Where
the widths differ, the map is folded into ``proj_head``, the Linear that stands there. Where they agree no Linear
stands between two layers of a residual stream; the map is then the feed-forward block of one layer more, which does
nothing else: its neurons work where the activation is the identity, its first LayerNorm keeps the states on average,
its last one has the weights of the upper encoder's LayerNorm at that place.
Shapes: N real tokens of all texts, H width.
"""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from design_space import Layer

from ..checkpoints.model_card import add_to_lineage
from ..model.encoder import EncoderLayer
from ..model.modeling_flexibert import FlexiBERTPreTrainedModel
from ..transfer.space_maps import regression
from .assembly import AnyModel, Part, assembled, parts_of
from .block_retraining import Batch, check_teacher, entering_states, fresh_layer
from .stitching import SHARED_OPTIONS, different_options

LIFTS = (5.0, 10.0, 20.0)  # above the first GELU is the identity to five digits, above the last SiLU too
EXACTNESS, FARTHEST = 1e-5, 50.0  # five digits, as far above a lift as states are expected


def stitch_depth(
    lower: FlexiBERTPreTrainedModel,
    upper: AnyModel,
    batches: Iterable[Batch],
    *,
    lower_layers: int,
    upper_start: int,
    ridge: float = 1e-3,
) -> AnyModel:
    """The first layers of ``lower`` and, after a fitted linear map, the layers of ``upper`` from one on.

    Args:
        lower: any FlexiBERT model of text; not changed. Its embeddings are used.
        upper: another of the same vocabulary; not changed. Its pooler and task head are used.
        batches: token ids (B, S), or mappings with ``input_ids`` and ``attention_mask``: a few hundred texts.
        lower_layers: how many layers of ``lower`` stay; 1 or more.
        upper_start: the first layer of ``upper`` that stays.
        ridge: weight of the penalty, relative to the mean square of the states.

    Returns:
        A model of ``upper``'s class, in evaluation mode.

    Raises:
        ValueError: when the models or the places do not fit together, there are no batches, the architecture cannot be
            written (see ``assembled``), or, between equal widths, the activation is nowhere the identity.
    """
    _check(lower, upper, lower_layers, upper_start, ridge)
    last = copy.deepcopy(lower.base_model.encoder.layer[lower_layers - 1]).eval()
    last.output.proj_head = None
    given, wanted = _states(lower, upper, list(batches), last, lower_layers, upper_start)
    kept, joined = parts_of(lower)[: lower_layers - 1], parts_of(upper)[upper_start:]
    layer = lower.config.model_spec.layers[lower_layers - 1]
    if given.shape[1] != wanted.shape[1]:
        matrix, bias = _fit(given, wanted, ridge)
        last.output.proj_head = _linear(matrix, bias).to(lower.dtype)
        between = [Part(layer, last)]
    else:
        between = [Part(layer, last), _bridge(upper, layer, given, wanted, upper_start, ridge)]
    stitched = assembled(upper, [*kept, *between, *joined], embeddings_of=lower).eval()
    add_to_lineage(
        stitched,
        f"Stitched in depth: {lower_layers} layers of one model, another's from layer {upper_start}.",
        [lower, upper],
    )
    return stitched


def _check(lower: Any, upper: Any, lower_layers: int, upper_start: int, ridge: float) -> None:
    check_teacher(lower, [lower_layers - 1])
    check_teacher(upper, [upper_start])
    problems = different_options(lower, upper, SHARED_OPTIONS)
    formats = lower.config.model_spec.format, upper.config.model_spec.format
    if formats[0] != formats[1]:
        problems.append(f"Models stitched in depth must be of one format. Got {formats[0]} and {formats[1]}")
    if not 0 <= ridge < float("inf"):
        problems.append(f"'ridge' must be a number of 0 or above. Got {ridge}")
    if problems:
        raise ValueError("\n".join(problems))


@torch.no_grad()
def _states(
    lower: Any, upper: Any, batches: list[Batch], last: nn.Module, lower_layers: int, upper_start: int
) -> tuple[Tensor, Tensor]:
    """What leaves the lower layers (N, H_lower) and what enters the upper ones (N, H_upper), in double precision."""
    if not batches:
        raise ValueError("There must be one batch or more to fit the map on. Got none")
    given, wanted = [], []
    modes = lower.training, upper.training
    lower.eval()
    upper.eval()
    for batch in batches:
        x_BSH, padding = entering_states(lower, lower_layers - 1, batch)
        left, _ = last(x_BSH, padding, False)
        entering, _ = entering_states(upper, upper_start, batch)
        is_real = torch.ones(left.shape[:2], dtype=torch.bool)
        if padding.scores is not None:
            is_real = (padding.scores[:, 0, 0] == 0).cpu()
        given.append(left.cpu().double()[is_real])
        wanted.append(entering.cpu().double()[is_real])
    lower.train(modes[0])
    upper.train(modes[1])
    return torch.cat(given), torch.cat(wanted)


def _fit(given: Tensor, wanted: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Matrix (H_upper, H_lower) and bias (H_upper,) of the ridge regression."""
    means = given.mean(0), wanted.mean(0)
    matrix = regression(given - means[0], wanted - means[1], ridge)
    return matrix, means[1] - matrix @ means[0]


def _linear(matrix: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(matrix.shape[1], matrix.shape[0])
    with torch.no_grad():
        linear.weight.copy_(matrix)
        linear.bias.copy_(bias)
    return linear


def _bridge(upper: Any, like: Layer, given: Tensor, wanted: Tensor, upper_start: int, ridge: float) -> Part:
    """A layer whose feed-forward block is the map."""
    width = given.shape[1]
    layer = Layer(width, like.heads, (width,))
    is_hetero = upper.config.model_spec.format == "hetero"
    module = fresh_layer(upper, layer, upper_start, seed=0, is_hetero=is_hetero, following=width).cpu()
    first, second = module.attention.output.LayerNorm, module.output.LayerNorm
    weight, bias = _norm_before(upper, upper_start, wanted)
    with torch.no_grad():
        for parameter in module.attention.output.dense.parameters():
            parameter.zero_()
        first.weight.fill_(float(given.std(1, correction=0).square().mean().sqrt()))
        first.bias.fill_(float(given.mean()))
        normed = nn.functional.layer_norm(given, (width,)) * first.weight.double() + first.bias.double()
        matrix, offset = _fit(normed, (wanted - bias) / weight, ridge)
        inner, activation = module.intermediate.sequential
        lift = _lift(activation, inner.weight.dtype, upper.config.hidden_act) - min(float(normed.min()), 0.0)
        inner.weight.copy_(torch.eye(width))
        inner.bias.fill_(lift)
        block = matrix - torch.eye(width, dtype=matrix.dtype)
        module.output.dense.weight.copy_(block)
        module.output.dense.bias.copy_(offset - lift * block.sum(1))
        second.weight.copy_(weight)
        second.bias.copy_(bias)
    return Part(layer, module)


def _lift(activation: nn.Module, dtype: torch.dtype, name: Any) -> float:
    """From where on the activation is the identity."""
    for lift in LIFTS:
        x = torch.linspace(lift, lift + FARTHEST, 1000, dtype=dtype)
        if torch.allclose(activation(x), x, rtol=EXACTNESS, atol=0):
            return lift
    raise ValueError(
        f"'hidden_act' must be the identity above {LIFTS[-1]:g} to carry a map between layers of one width, as 'gelu' "
        f"is. Got {name!r}; stitch at a place where the widths differ"
    )


def _norm_before(upper: Any, start: int, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and biases of the LayerNorm whose output enters layer ``start``; or those that fit, after a Linear."""
    embeddings = upper.base_model.embeddings
    before: EncoderLayer | None = None if start == 0 else upper.base_model.encoder.layer[start - 1]
    projection = embeddings.projection if before is None else before.output.proj_head
    if projection is not None:
        deviation = wanted.std(1, correction=0).square().mean().sqrt()
        return deviation.expand(wanted.shape[1]), wanted.mean().expand(wanted.shape[1])
    norm = embeddings.LayerNorm if before is None else before.output.LayerNorm
    weight, bias = norm.weight.detach().cpu().double(), norm.bias.detach().cpu().double()
    return torch.where(weight.abs() < 1e-3, torch.full_like(weight, 1e-3), weight), bias
