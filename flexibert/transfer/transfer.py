"""Weight transfer between two networks: ordered (OD), by random projection (RP) (FlexiBERT, section 3.4), or ours.

``consistent``, the default, is in ``consistent.py``. In the other modes,
what corresponds to what is decided in ``plan.py``. Here values are fitted, where sizes differ:

*OD* copies the leading entries that both have.

*RP* maps a larger source space to the target's, of size k, by P x; the entries of P are drawn from N(0, 1/k) (Johnson
and Lindenstrauss 1984). A matrix that writes the space becomes P W, one that reads it W PT, a vector in it P b. There
is ONE P per space, so that what one layer writes the next one still reads: one per residual width (the embeddings and
each stretch of equally wide layers) and one per layer for the size of its heads. (The original draws one per matrix.)
Parameters that scale each entry on its own (LayerNorm weights, depthwise kernels) become means weighted by P squared:
the diagonal of P diag(w) PT, with its rows normalised.

In both a smaller source fills the leading entries, which is an isometric embedding; and of feed-forward widths
the leading neurons are kept, because only a selection of neurons commutes with the activation.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..cost.parameters import next_widths
from ..mixing.axes import Axis, Parameter, Sizes
from ..model.configuration_flexibert import CONSISTENT, FlexiBERTConfig, check_mode
from .class_names import task_head_parameters
from .consistent import consistent_values
from .plan import (
    AxisMatch,
    ParameterMatch,
    TransferPlan,
    match_embeddings,
    match_layers,
    match_poolers,
    stretch_starts,
    transfer_plan,
)

Space = tuple[str | int, ...]


def transfer_weights(source: Any, target: Any, mode: str = CONSISTENT, seed: int = 0) -> float:
    """Fills the weights of ``target`` that have a counterpart in ``source``. The models share nothing afterwards.

    Args:
        source: a FlexiBERT model, with or without a task head; not changed.
        target: another one; changed in place, all at once. A classifier goes by the names of classes, in any order, and
            is left as it is where they are others; default names (``LABEL_0``, ...) go by place.
        mode: ``consistent``, ``OD`` or ``RP``.
        seed: of projections, noise and sampled texts.

    Returns:
        Share of the target encoder's parameters (embeddings, layers, pooler) that was filled, in [0, 1].

    Raises:
        ValueError: when the models' formats, vocabularies, segments or positions differ; nothing is changed then.
    """
    check_mode(mode)
    _check_comparable(source, target)
    if mode == CONSISTENT:
        with torch.no_grad():
            values, overlap = consistent_values(source, target, seed)
            assert all(parameter.shape == value.shape for parameter, value in values)
            for parameter, value in values:
                parameter.copy_(value)
        return overlap
    fitter = OrderedTransfer(source.config, target.config, mode, seed)
    source_encoder, target_encoder = source.base_model, target.base_model
    fitted: list[tuple[nn.Parameter, Tensor]] = []
    num_filled = 0
    with torch.no_grad():
        for prefix, match, spaces in _encoder_matches(source_encoder, target_encoder, fitter):
            read = source_encoder.get_parameter(prefix + match.source.name)
            written = target_encoder.get_parameter(prefix + match.target.name)
            fitted.append((written, fitter.fit(read, written, match, spaces)))
            num_filled += match.numel
        fitted += _task_head(source, target, fitter)
        for parameter, value in fitted:
            parameter.copy_(value)
    return num_filled / sum(parameter.numel() for parameter in target_encoder.parameters())


def _check_comparable(source: Any, target: Any) -> None:
    config = getattr(source, "config", None)
    if not isinstance(config, FlexiBERTConfig):
        raise ValueError(f"The source of a transfer must be a FlexiBERT model. Got {type(source).__name__}")
    problems = [
        f"'{name}' must be the same in both models. Got {theirs!r} in the source and {ours!r} in the target"
        for name, theirs, ours in zip(Sizes._fields, Sizes.of(config), Sizes.of(target.config), strict=True)
        if theirs != ours
    ]
    if problems:
        raise ValueError("\n".join(problems))


class OrderedTransfer:
    """Fits tensors of the source to the target's sizes, with one projection per space."""

    def __init__(self, source: FlexiBERTConfig, target: FlexiBERTConfig, mode: str, seed: int) -> None:
        self.source_spec, self.target_spec = source.model_spec, target.model_spec
        self.plan: TransferPlan = transfer_plan(self.source_spec, self.target_spec)
        self.is_projecting = mode == "RP"
        self.generator = torch.Generator().manual_seed(seed)
        self.projections: dict[Space, Tensor] = {}
        self.source_stretches, self.target_stretches = (
            stretch_starts(self.source_spec),
            stretch_starts(self.target_spec),
        )

    def residual(self, source_layer: int, target_layer: int) -> Space:
        """The space of states around a pair of layers; layers of one width in a row share it."""
        return "residual", self.source_stretches[source_layer], self.target_stretches[target_layer]

    def layer_spaces(self, index: int) -> dict[str, Space]:
        """Space of each kind of axis in layer ``index``."""
        spaces = {kind: ("head", index) for kind in ("heads", "head", "attending", "convolving", "split")}
        following = [min(index + 1, len(stretches) - 1) for stretches in (self.source_stretches, self.target_stretches)]
        return spaces | {"residual": self.residual(index, index), "next": self.residual(*following)}

    def fit(self, source: Tensor, target: Tensor, match: ParameterMatch, spaces: dict[str, Space]) -> Tensor:
        """The target's new value: the source's where there is one, its own elsewhere."""
        value = source.detach().to(device=target.device)
        places = []
        for dimension, axis in enumerate(match.axes):
            value, place = self._fit_axis(value, dimension, axis, spaces, match.target.is_diagonal)
            places.append(place)
        result = target.detach().clone()
        result[torch.meshgrid(*places, indexing="ij")] = value.to(result.dtype)
        return result

    def _fit_axis(
        self, value: Tensor, dimension: int, axis: AxisMatch, spaces: dict[str, Space], is_diagonal: bool
    ) -> tuple[Tensor, Tensor]:
        """Selects and fits the blocks of one axis; returns the value and the places it belongs to in the target."""
        device = value.device
        target_blocks = torch.tensor([pair[0] for pair in axis.pairs], device=device)
        source_blocks = torch.tensor([pair[1] for pair in axis.pairs], device=device)
        kept = min(axis.source.size, axis.target.size)
        blocks = value.unflatten(dimension, (axis.source.blocks, axis.source.size)).index_select(
            dimension, source_blocks
        )
        space = spaces.get(axis.target.kind)
        if self.is_projecting and space is not None and axis.source.size > axis.target.size:
            projection = self._projection(space, axis.source.size, axis.target.size).to(device)
            if is_diagonal:
                projection = projection.square() / projection.square().sum(dim=1, keepdim=True)
            moved = blocks.movedim(dimension + 1, -1)
            blocks = (moved @ projection.to(moved.dtype).transpose(0, 1)).movedim(-1, dimension + 1)
        else:
            blocks = blocks.narrow(dimension + 1, 0, kept)
        places = target_blocks.unsqueeze(1) * axis.target.size + torch.arange(kept, device=device)
        return blocks.flatten(dimension, dimension + 1), places.flatten()

    def _projection(self, space: Space, source_size: int, target_size: int) -> Tensor:
        """A projection (target size, source size) with entries from N(0, 1 / target size); drawn once per space."""
        if space not in self.projections:
            drawn = torch.randn(target_size, source_size, generator=self.generator)
            self.projections[space] = drawn / target_size**0.5
        return self.projections[space]


def _encoder_matches(
    source: nn.Module, target: nn.Module, fitter: OrderedTransfer
) -> Iterator[tuple[str, ParameterMatch, dict[str, Space]]]:
    """Every parameter of the encoder that receives values: (prefix of its name, match, spaces of its axes)."""
    source_spec, target_spec, plan = fitter.source_spec, fitter.target_spec, fitter.plan
    sizes = Sizes.of(target.config)
    first = {"residual": fitter.residual(0, 0)}
    for match in match_embeddings(source_spec.layers[0].hidden_size, target_spec.layers[0].hidden_size, sizes):
        yield "", match, first
    widths = list(zip(next_widths(source_spec), next_widths(target_spec), strict=False))
    for index in range(plan.num_layers):
        pair = source_spec.layers[index], target_spec.layers[index]
        for match in match_layers(*pair, *widths[index], target_spec.format == "hetero", sizes):
            yield f"encoder.layer.{index}.", match, fitter.layer_spaces(index)
    if plan.is_complete and source.pooler is not None and target.pooler is not None:
        last = {"residual": fitter.residual(-1, -1)}
        for match in match_poolers(source_spec.layers[-1].hidden_size, target_spec.layers[-1].hidden_size):
            yield "", match, last


def _task_head(source: Any, target: Any, fitter: OrderedTransfer) -> list[tuple[nn.Parameter, Tensor]]:
    """New values of the task head, where both models have the same."""
    spaces = {"residual": fitter.residual(-1, -1)}
    fitted = []
    for name, read, written in task_head_parameters(source, target):
        kinds = ["residual" if _is_hidden(name, dimension) else "fixed" for dimension in range(written.dim())]
        is_diagonal = name.endswith("LayerNorm.weight")
        ours, theirs = (
            Parameter(name, tuple(map(Axis, kinds, tensor.shape)), name, is_diagonal=is_diagonal)
            for tensor in (written, read)
        )
        axes = tuple(AxisMatch(t, s, ((0, 0),)) for t, s in zip(ours.axes, theirs.axes, strict=True))
        fitted.append((written, fitter.fit(read, written, ParameterMatch(ours, theirs, axes), spaces)))
    return fitted


def _is_hidden(name: str, dimension: int) -> bool:
    """Whether an axis of a task head's parameter is the last layer's width: what it reads, or in ``transform``."""
    return ".transform." in name or dimension == 1
