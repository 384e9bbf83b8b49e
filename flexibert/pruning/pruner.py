"""Movement pruning of a model: masks on the linears of its layers, their schedule and losses, and what is left.

Block movement pruning (Lagunas et al. 2021, "Block Pruning For Faster Transformers"), in nn_pruning's terms. Masks are
parametrizations of the model's own linears, so that it trains, evaluates and moves between devices as before; its
parameters have other names meanwhile, until ``compact`` makes a dense model of it.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..checkpoints.model_card import add_to_lineage
from .callback import PruningCallback
from .compaction import KeptStructure, compacted, structure_of
from .config import PruningConfig
from .distillation import Teacher, checked_teacher, distillation_loss
from .families import Family, LayerLinears, family_of, layers_of
from .masks import MaskFactor, Scores, Threshold, WeightMask, fix_masks, mask_linear, plain_linear
from .report import DensityReport, report_of_masks
from .schedule import regularization, threshold_at


class MovementPruner:
    """Masks a model in place, and makes a smaller one of it when it is trained.

    Args:
        model: FlexiBERT, FlexiViT, or BERT or DeiT of transformers, with any head; or another, with ``family``.
        config: what to mask and how.
        teacher: a trained model with the same labels; default: the one that ``config.distil_teacher_name_or_path``
            names, if it names one.
        family: where a model of an unknown family keeps its linears.

    Raises:
        ValueError: for an unknown family, a block that does not divide a matrix, a teacher with other labels, or a
            model that is masked already.
    """

    def __init__(
        self, model: nn.Module, config: PruningConfig, *, teacher: nn.Module | None = None, family: Family | None = None
    ) -> None:
        self.model, self.config = model, config
        self.family = family or family_of(model)
        self.layers = layers_of(model, self.family)
        if any(parametrize.is_parametrized(linear) for layer in self.layers for _, linear in layer.named()):
            raise ValueError("'model' must not be masked already. Compact it first, or prune a fresh copy")
        self.threshold = Threshold(
            config.initial_threshold, config.final_threshold, config.eval_with_current_patch_params
        )
        plan = [_parts_of(layer, config, self.threshold) for layer in self.layers]
        problems = [problem for _, of_layer in plan for problem in of_layer]
        if problems:
            raise ValueError("Blocks must divide the matrices they are used on:\n  - " + "\n  - ".join(problems))
        self.teacher: Teacher = checked_teacher(model, config, teacher)
        for parts, _ in plan:
            for linear, of_linear in parts:
                mask_linear(linear, WeightMask(of_linear), config.bias_mask)
        self._initialize()
        self.is_finetuning = False

    @property
    def scores(self) -> list[Scores]:
        """Every set of scores once, in the order of the layers."""
        found: dict[int, Scores] = {}
        for layer in self.layers:
            for _, linear in layer.named():
                for part in getattr(mask_of(linear), "parts", []):
                    found.setdefault(id(part), part)
        return list(found.values())

    def set_step(self, step: int, total_steps: int, warmup_steps: int) -> float:
        """Moves the threshold to where the schedule has it at ``step``; returns it."""
        self.threshold.current = threshold_at(self.config, step, total_steps, warmup_steps)
        return self.threshold.current

    def loss(self, task_loss: Tensor, inputs: dict[str, Any], outputs: Any) -> Tensor:
        """What training minimizes: the task's loss, mixed with the teacher's if there is one, and the regularizer."""
        total = task_loss
        if self.teacher is not None:
            distilled = distillation_loss(self.teacher, inputs, outputs, self.config.distil_temperature)
            total = self.config.distil_alpha_ce * task_loss + self.config.distil_alpha_teacher * distilled
        extra = None if self.is_finetuning else regularization(self.config, self.scores, self.threshold.current)
        return total if extra is None else total + extra

    def parameter_groups(self, learning_rate: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Groups for an optimizer, where no ``Trainer`` with ``callback`` makes them: weights, then scores."""
        scores = [x.scores for x in self.scores if x.scores is not None and x.scores.requires_grad]
        known = {id(parameter) for parameter in scores}
        weights = [x for x in self.model.parameters() if x.requires_grad and id(x) not in known]
        return [
            {"params": weights, "lr": learning_rate, "weight_decay": weight_decay},
            {"params": scores, "lr": self.config.mask_scores_learning_rate, "weight_decay": 0.0},
        ]

    def callback(self) -> PruningCallback:
        """For ``transformers.Trainer``: schedule, regularization, distillation, the scores' learning rate."""
        return PruningCallback(self)

    def start_final_finetune(self, kind: str | None = None) -> None:
        """Ends the learning of scores; the next training (with a new optimizer) is of weights alone.

        Args:
            kind: ``fixed``: the masks stay as they are; ``filled``: only removed heads and neurons stay masked.
                Default: as the configuration says.

        Raises:
            ValueError: when neither says which.
        """
        chosen = kind or ("fixed" if self.config.final_finetune is True else self.config.final_finetune)
        if chosen not in ("fixed", "filled"):
            raise ValueError(f"'kind' must be fixed or filled where 'final_finetune' is False. Got {kind!r}")
        masks = self.masks() if chosen == "fixed" else self._structural_masks()
        fix_masks({linear: masks[f"{layer.name}.{name}"] for layer in self.layers for name, linear in layer.named()})
        self.is_finetuning = True

    @torch.no_grad()
    def masks(self) -> dict[str, Tensor]:
        """The mask of every linear as in evaluation, (R, C), by ``<layer>.<what it is>``."""
        found = {}
        for layer in self.layers:
            for name, linear in layer.named():
                found[f"{layer.name}.{name}"] = _evaluated_mask(linear)
        return found

    def compact(self) -> Any:
        """The dense model that computes what the masked one does in evaluation mode; this one is not changed.

        Returns:
            A FlexiBERT (of BERT and FlexiBERT) or FlexiViT (of DeiT and FlexiViT) model with its own spec and weights.

        Raises:
            ValueError: when the family has no ``converted``.
        """
        small = compacted(self._plain())
        add_to_lineage(
            small,
            f"compacted after {self.config.attention_pruning_method} pruning of its attention and "
            f"{self.config.dense_pruning_method} pruning of its feed-forward layers",
        )
        return small

    def structure(self) -> list[KeptStructure]:
        """Per layer, the heads and neurons that ``compact`` keeps."""
        return structure_of(self._plain())

    def report(self) -> DensityReport:
        """Densities of masks and of what they leave, per matrix and in all."""
        plain = self._plain()
        masks, spec = self.masks(), plain.config.model_spec
        of_layers = [{name: masks[f"{layer.name}.{name}"] for name, _ in layer.named()} for layer in self.layers]
        return report_of_masks(spec, structure_of(plain), of_layers)

    def _plain(self) -> Any:
        """A copy of the model as one of ours, with plain linears."""
        return materialize_masks(self.model, self.family)

    def _structural_masks(self) -> dict[str, Tensor]:
        """1 in the rows and columns of surviving heads and neurons."""
        masks = {}
        for layer, kept in zip(self.layers, self.structure(), strict=True):
            for name, linear in layer.named():
                rows, columns = kept.rows_and_columns(name, len(layer.stack) - 1, linear.weight.shape)
                mask = torch.zeros_like(linear.weight)
                mask[rows[:, None], columns[None, :]] = 1
                masks[f"{layer.name}.{name}"] = mask
        return masks

    @torch.no_grad()
    def _initialize(self) -> None:
        first: dict[int, tuple[Scores, nn.Linear]] = {}
        for layer in self.layers:
            for _, linear in layer.named():
                mask = mask_of(linear)
                assert isinstance(mask, WeightMask)
                for scores, axis in zip(mask.parts, mask.axes, strict=True):
                    assert isinstance(scores, Scores)
                    first.setdefault(id(scores), (scores, linear))
                    scores.weighed.append((linear, axis))
        for scores, linear in first.values():
            scores.to(device=linear.weight.device, dtype=linear.weight.dtype).train(self.model.training)
            scores.initialize(self.config.mask_init, self.config.mask_scale, linear.in_features)


def materialize_masks(model: Any, family: Family) -> Any:
    """A copy of ``model`` as one of ours, its masks multiplied into plain weights.

    Raises:
        ValueError: when the family has no ``converted``.
    """
    if family.converted is None:
        raise ValueError(
            f"Family {family.name} must have a 'converted' to one of our models before it can be compacted"
        )
    linears = [linear for layer in layers_of(model, family) for _, linear in layer.named()]
    return family.converted(copy.deepcopy(model, {id(linear): plain_linear(linear) for linear in linears}))


def mask_of(linear: nn.Linear) -> Any:
    """The module that masks the weight of ``linear``, or None."""
    return linear.parametrizations.weight[0] if parametrize.is_parametrized(linear, "weight") else None  # type: ignore[index, union-attr]


def _evaluated_mask(linear: nn.Linear) -> Tensor:
    mask = mask_of(linear)
    was_training = mask.training
    result = mask.eval().mask().expand_as(linear.weight).clone()
    mask.train(was_training)
    return result


def _parts_of(
    layer: LayerLinears, config: PruningConfig, threshold: Threshold
) -> tuple[list[tuple[nn.Linear, list[MaskFactor]]], list[str]]:
    """The parts of every linear's mask in one layer, and the blocks that do not fit."""
    builder = _Builder(layer, config, threshold)
    attention, dense = config.attention, config.dense
    block = (config.attention_block_rows, config.attention_block_cols)
    found: list[tuple[nn.Linear, list[MaskFactor]]] = []
    shared: dict[tuple[int, ...], Scores] = {}
    for name, linear in layer.attention.items():
        if attention[1] == "joint":
            shape = tuple(linear.weight.shape)
            if shape not in shared:
                shared[shape] = builder.scores(linear, name, block, attention[0], "attention")
            found.append((linear, [MaskFactor(shared[shape], "both")]))
        else:
            found.append((linear, builder.own(linear, name, block, attention, "attention")))
    found.append((layer.output, _output_parts(builder, layer, config, shared)))
    if dense[1] == "1d_alt":
        parts: list[list[MaskFactor]] = [[] for _ in layer.stack]
        for number, linear in enumerate(layer.stack[:-1]):
            inner = builder.along(linear, f"intermediate{number}", 0, config.dense_block_rows, dense[0], "dense")
            parts[number].append(MaskFactor(inner, "rows"))
            parts[number + 1].append(MaskFactor(inner, "columns"))
        found += list(zip(layer.stack, parts, strict=True))
    else:
        block = (config.dense_block_rows, config.dense_block_cols)
        names = [name for name, _ in layer.named()][-len(layer.stack) :]
        found += [
            (linear, builder.own(linear, name, block, dense, "dense"))
            for name, linear in zip(names, layer.stack, strict=True)
        ]
    return found, builder.problems


def _output_parts(
    builder: "_Builder", layer: LayerLinears, config: PruningConfig, shared: dict[tuple[int, ...], Scores]
) -> list[MaskFactor]:
    """Of the attention's output linear: like the dense ones, or like the attention with rows and columns swapped."""
    output = layer.output
    if config.attention_output_with_dense:
        if config.dense[1] == "1d_alt":  # its inner dimension is its columns, which it shares with no dense linear
            columns = builder.along(output, "output", 1, config.dense_block_cols, config.dense[0], "dense")
            return [MaskFactor(columns, "columns")]
        block = (config.dense_block_rows, config.dense_block_cols)
        return builder.own(output, "output", block, config.dense, "dense")
    of_transposed = shared.get(tuple(reversed(output.weight.shape)))
    if of_transposed is not None:
        return [MaskFactor(of_transposed, "transposed")]
    block = (config.attention_block_cols, config.attention_block_rows)
    return builder.own(output, "output", block, config.attention, "attention")


class _Builder:
    """Makes scores for the linears of one layer and collects what does not fit."""

    def __init__(self, layer: LayerLinears, config: PruningConfig, threshold: Threshold) -> None:
        self.layer, self.config, self.threshold = layer, config, threshold
        self.problems: list[str] = []

    def own(
        self, linear: nn.Linear, name: str, block: tuple[int, int], method: tuple[str, str], kind: str
    ) -> list[MaskFactor]:
        """Parts whose scores no other linear shares."""
        if method[1] != "1d":
            return [MaskFactor(self.scores(linear, name, block, method[0], kind), "both")]
        return [
            MaskFactor(self.along(linear, name, 0, block[0], method[0], kind), "rows"),
            MaskFactor(self.along(linear, name, 1, block[1], method[0], kind), "columns"),
        ]

    def scores(self, linear: nn.Linear, name: str, block: tuple[int, int], method: str, kind: str) -> Scores:
        rows, columns = linear.weight.shape
        self._check(name, linear, block)
        return self._made((rows // block[0], columns // block[1]), block, method, kind)

    def along(self, linear: nn.Linear, name: str, dim: int, size: int, method: str, kind: str) -> Scores:
        self._check(name, linear, (size, 1) if dim == 0 else (1, size))
        return self._made((linear.weight.shape[dim] // size,), (size, 1), method, kind)

    def _made(self, shape: tuple[int, ...], block: tuple[int, int], method: str, kind: str) -> Scores:
        return Scores(shape, block, method, self.threshold, self.config.linear_min_parameters, kind)

    def _check(self, name: str, linear: nn.Linear, block: tuple[int, int]) -> None:
        rows, columns = linear.weight.shape
        if rows % block[0] or columns % block[1]:
            self.problems.append(
                f"a block of {block[0]} x {block[1]} (rows x columns) does not divide "
                f"'{self.layer.name}.{name}' of {rows} x {columns}"
            )
