"""Least squares after removal: what is left learns to say what all said before, one linear at a time.

Layer by layer, on the examples, three things are refitted:

- Linears that *read* the residual stream: where it is not the parent's, the parent's states are estimated from the
  child's, and the estimate is folded into the weights.
- Linears that *write* it: with what they add, the stream comes closest to what the parent's next kept layer reads, so
  that a layer also makes up for those that are gone after it.
- Scale and shift of LayerNorms after a sum.

Each sees the child's states as repaired so far, so later layers make up for what earlier ones got wrong. In the end
the pooler, or a task head that reads states, is refitted as a reader, on the tokens that it reads.
Shapes: T real tokens of all examples, H width of the parent's stream, C channels of the child's, W inputs of a linear.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..transfer.plan import stretch_starts
from ..vision.modeling_flexivit import FlexiViTPreTrainedModel
from .extraction import KeptStructure, Origin, layer_origins, outer_origins, places_of, prefix_of
from .parent_states import MEAN, LayerSteps, ParentStates, entered, last_norm

RIDGE = 1e-3  # of the mean square of an input: keeps weights near the old ones where examples do not tell
HEAD_RIDGE = 1e-1  # where only one token of each example is read
NEGLIGIBLE = 1e-5  # of a target's size


@torch.no_grad()
def repair(small: Any, parent: ParentStates, kept: list[KeptStructure]) -> None:
    """Refits ``small`` in place, in evaluation mode.

    Args:
        small: made by ``extract_submodel`` of the parent.
        parent: not changed.
        kept: what stays of the parent.
    """
    _Repair(small, parent, kept).run()


class _Repair:
    def __init__(self, small: Any, parent: ParentStates, kept: list[KeptStructure]) -> None:
        self.small, self.parent, self.kept = small, parent, kept
        self.spec = parent.model.config.model_spec
        self.places = places_of(kept)
        self.channels = [kept[place].channels_of(self.spec.layers[place]) for place in self.places]
        self.origins = layer_origins(parent.model, small.config.model_spec, kept)
        self.stretches = stretch_starts(self.spec)
        self.states = self._entering()

    def run(self) -> None:
        """First layer to last, then what reads the last states."""
        for number, layer in enumerate(self.small.base_model.encoder.layer):
            self._repair_layer(number, LayerSteps(layer), dict(layer.named_parameters(remove_duplicate=False)))
        self._repair_head()

    def _entering(self) -> Tensor:
        """The child's states (T, C) that enter its first layer; of text, a narrower stream needs another LayerNorm."""
        norm = getattr(self.small.base_model.embeddings, "LayerNorm", None)
        sums: list[Tensor] = []
        hooks = [norm.register_forward_pre_hook(lambda _, inputs: sums.append(inputs[0]))] if norm is not None else []
        states = [entered(self.small, batch)[0] for batch in self.parent.batches]
        for hook in hooks:
            hook.remove()
        tokens = self.parent.tokens
        if norm is None or self.kept[self.places[0]].channels is None:
            return tokens.joined(states)
        return _refitted_norm(norm, tokens.joined(sums), self.parent.entering(self.places[0])[:, self.channels[0]])

    def _repair_layer(self, number: int, steps: LayerSteps, parameters: dict[str, nn.Parameter]) -> None:
        parent, place, channels = self.parent, self.places[number], self.channels[number]
        theirs = parent.steps[place]
        readers = {name: origin for name, origin in self.origins[number].items() if origin.reads_stream}

        x_TC, wanted = steps.before_mixing(self.states), theirs.before_mixing(parent.entering(place))
        self._refit_readers(parameters, readers, "attention.self.", _estimate(x_TC, wanted, channels))
        context_TW = parent.tokens.mixed(steps.mixing, x_TC)
        mixed = _refitted(steps.output, context_TW, self.states, parent.mixed[place][:, channels])
        m_TH = theirs.after_mixing(parent.mixed[place])
        m_TC = _refitted_norm(steps.after_mixing, mixed, m_TH[:, channels])

        y_TC, y_TH = steps.before_stack(m_TC), theirs.before_stack(m_TH)
        self._refit_readers(parameters, readers, "intermediate.", _estimate(y_TC, y_TH, channels))
        neurons_TW = self._refitted_stack(steps, theirs, self.kept[place].neurons, y_TC, y_TH)
        summed, normed, following = self._targets(number)
        sums = _refitted(steps.dense, neurons_TW, m_TC, summed)
        self.states = _refitted_norm(steps.after_stack, sums, normed)
        if isinstance(steps.projection, nn.Linear):
            self.states = _refitted(steps.projection, self.states, torch.zeros_like(following), following)

    def _targets(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """What layer ``number`` should come to: the sum, the states after its LayerNorm, those after a projection.

        They are the parent's before its next kept layer, as long as the residual stream is the same one up to there;
        where it is not, and the child has no projection, the states that the next layer reads.
        """
        parent, place, channels = self.parent, self.places[number], self.channels[number]
        is_last = number + 1 == len(self.places)
        following = len(self.spec.layers) if is_last else self.places[number + 1]
        alike = [other for other in range(place, following) if self.stretches[other] == self.stretches[place]]
        summed, normed = parent.summed[alike[-1]][:, channels], parent.normed(alike[-1])[:, channels]
        if is_last:
            return summed, normed, normed
        read = parent.entering(following)[:, self.channels[number + 1]]
        has_projection = read.shape[1] != len(channels)
        is_one_stream = self.stretches[following] == self.stretches[place]
        return (summed, normed, read) if has_projection or is_one_stream else (read, read, read)

    def _refit_readers(
        self, parameters: dict[str, nn.Parameter], origins: dict[str, Origin], prefix: str, estimate: "_Linear"
    ) -> None:
        for name, origin in origins.items():
            if name.startswith(prefix):
                _fold(parameters[name], parameters.get(name.replace("weight", "bias")), origin, estimate)

    def _refitted_stack(
        self, steps: LayerSteps, theirs: LayerSteps, neurons: list[list[int]], y_TC: Tensor, y_TH: Tensor
    ) -> Tensor:
        """What the last neurons of a feed-forward stack give, (T, W). Between two widths of a stack, a linear that
        reads fewer neurons is refitted to what it gave."""
        for number, (ours, other) in enumerate(zip(steps.stack, theirs.stack, strict=True)):
            if len(neurons) > 1:
                y_TH = other(y_TH)
            if number > 0 and isinstance(ours, nn.Linear):
                wanted = y_TH[:, neurons[number // 2]]
                y_TC = _refitted(ours, y_TC, torch.zeros_like(wanted), wanted)
            else:
                y_TC = ours(y_TC)
        return y_TC

    def _repair_head(self) -> None:
        parent, model = self.parent, self.parent.model
        found = last_norm(self.small)(self.states)
        wanted = last_norm(model)(parent.normed(len(self.spec.layers) - 1))
        is_one_stream = self.stretches[self.places[-1]] == self.stretches[-1]
        channels = self.channels[-1] if is_one_stream else None
        origins, parameters = outer_origins(model, self.kept), dict(self.small.named_parameters(remove_duplicate=False))
        for reader in _readers_of_states(self.small):
            ridge = RIDGE if reader.position is None else HEAD_RIDGE
            ours, theirs = (parent.tokens.read(states, reader.position) for states in (found, wanted))
            estimate = _estimate(ours, theirs, channels, ridge)
            name = f"{reader.path}.weight"
            _fold(parameters[name], parameters[f"{reader.path}.bias"], origins[name], estimate)
        readers = _readers_of_pooled(self.small)
        if readers and len(self.channels[-1]) < wanted.shape[1]:
            position = _pooled_position(model)
            ours, theirs = (
                torch.tanh(each.base_model.pooler.dense(parent.tokens.read(states, position)))
                for each, states in ((self.small, found), (model, wanted))
            )
            estimate = _estimate(ours, theirs, channels, HEAD_RIDGE)
            for path in readers:
                name = f"{path}.weight"
                _fold(parameters[name], parameters[f"{path}.bias"], origins[name], estimate)


class _Linear(NamedTuple):
    """x -> x weight^T + bias."""

    weight: Tensor
    bias: Tensor


class _Reader(NamedTuple):
    path: str
    position: int | None  # the token that it reads, or MEAN; None: all


def _readers_of_states(model: Any) -> Iterator[_Reader]:
    """The Linears that read the last states."""
    is_image_model = isinstance(model, FlexiViTPreTrainedModel)
    is_pooled = getattr(model, "is_pooled", False)
    positions: dict[str, int | None] = {
        f"{prefix_of(model)}pooler.dense": _pooled_position(model),
        "cls.predictions.transform.dense": None,
    }
    if is_image_model:
        positions |= {"classifier": 0, "cls_classifier": 0, "distillation_classifier": 1}
    elif not is_pooled:
        positions |= {"classifier": None, "qa_outputs": None}
    linears = {name for name, module in model.named_modules(remove_duplicate=False) if isinstance(module, nn.Linear)}
    return (_Reader(path, position) for path, position in positions.items() if path in linears)


def _pooled_position(model: Any) -> int:
    """What the pooler reads: the first token, or the mean."""
    return MEAN if getattr(model.config, "pooling", "cls") == "mean" else 0


def _readers_of_pooled(model: Any) -> list[str]:
    if not getattr(model, "is_pooled", False):
        return []
    linears = {name for name, module in model.named_modules(remove_duplicate=False) if isinstance(module, nn.Linear)}
    return [path for path in ("classifier", "cls.seq_relationship") if path in linears]


def _estimate(found_TC: Tensor, wanted_TH: Tensor, channels: list[int] | None, ridge: float = RIDGE) -> _Linear:
    """The parent's states by the child's: ridge regression of what the channels that are there leave to be said.

    Args:
        channels: those of the parent's states (T, H) that the child's (T, C) are; None where they are others.
    """
    weight = found_TC.new_zeros(wanted_TH.shape[1], found_TC.shape[1])
    if channels is not None:
        weight[channels, torch.arange(len(channels), device=weight.device)] = 1
    change = _ridge_regression(found_TC, wanted_TH - found_TC @ weight.T, ridge)
    return _Linear(weight + change.weight, change.bias)


def _fold(weight: Tensor, bias: Tensor | None, origin: Origin, estimate: _Linear) -> None:
    """Lets a Linear read an estimate of all that its origin reads."""
    whole = origin.taken(reads_all=True)
    weight.copy_(whole @ estimate.weight)
    if bias is not None:
        bias.add_(whole @ estimate.bias)


def _refitted(linear: nn.Linear, x_TW: Tensor, residual: Tensor, wanted: Tensor) -> Tensor:
    """The residual plus what a linear gives, once its ridge regression has brought that nearest to ``wanted``."""
    missing = wanted - residual - linear(x_TW)
    if missing.abs().max() > NEGLIGIBLE * wanted.abs().max():
        change = _ridge_regression(x_TW, missing, RIDGE)
        linear.weight.add_(change.weight.to(linear.weight))
        linear.bias.add_(change.bias.to(linear.bias))
    return residual + linear(x_TW)


def _refitted_norm(norm: nn.Module, sums: Tensor, wanted: Tensor) -> Tensor:
    """What a LayerNorm gives, with the scale and shift of each channel that bring it nearest to ``wanted``; the sums
    where there is none."""
    if not isinstance(norm, nn.LayerNorm):
        return sums
    if (wanted - norm(sums)).abs().max() > NEGLIGIBLE * wanted.abs().max():
        x = functional.layer_norm(sums, sums.shape[-1:], eps=norm.eps)
        centred = x - x.mean(0)
        weight = (centred * (wanted - wanted.mean(0))).mean(0) / centred.square().mean(0).clamp_min(1e-6)
        norm.weight.copy_(weight), norm.bias.copy_(wanted.mean(0) - weight * x.mean(0))
    return norm(sums)


def _ridge_regression(x_TW: Tensor, y_TH: Tensor, ridge: float) -> _Linear:
    """The Linear of smallest squared error plus ``ridge`` times the inputs' mean square times its squared weights."""
    x_mean, y_mean = x_TW.float().mean(0), y_TH.float().mean(0)
    x, y = x_TW.float() - x_mean, y_TH.float() - y_mean
    gram, product = (x.T @ x).double(), (x.T @ y).double()
    gram.diagonal().add_(ridge * gram.diagonal().mean() + torch.finfo(torch.float32).tiny)
    weight = torch.cholesky_solve(product, torch.linalg.cholesky(gram)).T.float()
    return _Linear(weight.to(x_TW.dtype), (y_mean - weight @ x_mean).to(x_TW.dtype))
