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
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback

from ..checkpoints.model_card import add_to_lineage
from ..distillation.losses import loss_of_outputs
from ..distillation.teacher import check_labels, load_teacher
from .compaction import structure_of
from .config import PruningConfig
from .extraction import KeptStructure, extract_submodel
from .families import Family, family_of, layers_of
from .mask_plan import plan_masks
from .masks import Scores, Threshold, WeightMask, fix_masks, mask_linear, plain_linear
from .report import DensityReport, report_of_masks
from .schedule import regularization, threshold_at
from .spec_space import linear_axes

LABELS = ("labels", "start_positions", "end_positions")
_OWN_LOSS = (
    "The Trainer must take the model's loss, which holds the teacher's and the regularizer's: without "
    "'label_smoothing_factor', 'compute_loss_func' or a 'compute_loss' of another loss, and with labels in every "
    "batch. With a loss of your own, train in a loop of your own (pruner.loss)"
)


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
        self.linears = {f"{layer.name}.{name}": linear for layer in self.layers for name, linear in layer.named()}
        if any(map(parametrize.is_parametrized, self.linears.values())):
            raise ValueError("'model' must not be masked already. Compact it first, or prune a fresh copy")
        self.threshold = Threshold(
            config.initial_threshold, config.final_threshold, config.eval_with_current_patch_params
        )
        plan = plan_masks(self.layers, config, self.threshold)
        self.teacher = _teacher_of(model, config, teacher)
        for linear, factors in plan:
            mask_linear(linear, WeightMask(factors), config.bias_mask)
        self.is_finetuning = False

    @property
    def scores(self) -> list[Scores]:
        """Every set of scores once, in the order of the layers."""
        masks = [mask for mask in map(_mask_of, self.linears.values()) if isinstance(mask, WeightMask)]
        return list(dict.fromkeys(factor.scores for mask in masks for factor in mask.factors))

    @property
    def learned_scores(self) -> list[nn.Parameter]:
        """The parameters of the scores; none for ``magnitude``, or once masks are fixed."""
        return [x.scores for x in self.scores if x.scores is not None and x.scores.requires_grad]

    def set_step(self, step: int, total_steps: int, warmup_steps: int) -> float:
        """Moves the threshold to where the schedule has it at ``step``; returns it."""
        self.threshold.current = threshold_at(self.config, step, total_steps, warmup_steps)
        return self.threshold.current

    def loss(self, task_loss: Tensor, inputs: dict[str, Any], outputs: Any) -> Tensor:
        """What training minimizes: the task's loss, mixed with the teacher's if there is one, and the regularizer."""
        total = task_loss
        if self.teacher is not None:
            distilled = self._distilled(inputs, outputs)
            total = self.config.distil_alpha_ce * task_loss + self.config.distil_alpha_teacher * distilled
        extra = None if self.is_finetuning else regularization(self.config, self.scores, self.threshold.current)
        return total if extra is None else total + extra

    def _distilled(self, inputs: dict[str, Any], outputs: Any) -> Tensor:
        assert self.teacher is not None
        with torch.no_grad():
            of_teacher = self.teacher(**{name: x for name, x in inputs.items() if name not in LABELS})
        return loss_of_outputs(
            outputs,
            of_teacher,
            inputs,
            temperature=self.config.distil_temperature,
            problem_type=getattr(self.model.config, "problem_type", None),
        )

    def parameter_groups(self, learning_rate: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Groups for an optimizer, where no ``Trainer`` with ``callback`` makes them: weights, then scores."""
        scores = self.learned_scores
        known = {id(parameter) for parameter in scores}
        weights = [x for x in self.model.parameters() if x.requires_grad and id(x) not in known]
        return [
            {"params": weights, "lr": learning_rate, "weight_decay": weight_decay},
            {"params": scores, "lr": self.config.mask_scores_learning_rate, "weight_decay": 0.0},
        ]

    def callback(self) -> "PruningCallback":
        """The callback of ``transformers.Trainer``: schedule, regularization, distillation, learning rate of scores."""
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
        fix_masks({linear: masks[name] for name, linear in self.linears.items()})
        self.is_finetuning = True

    @torch.no_grad()
    def masks(self) -> dict[str, Tensor]:
        """The mask of every linear as in evaluation, (R, C), by ``<layer>.<what it is>``."""
        return {name: _evaluated_mask(linear) for name, linear in self.linears.items()}

    def compact(self) -> Any:
        """The dense model that computes what the masked one does in evaluation mode; this one is not changed.

        Returns:
            A FlexiBERT (of BERT and FlexiBERT) or FlexiViT (of DeiT and FlexiViT) model with its own spec and weights.

        Raises:
            ValueError: when the family has no ``converted``.
        """
        plain = self._plain()
        small = extract_submodel(plain, structure_of(plain))
        add_to_lineage(
            small,
            f"compacted after {self.config.attention_pruning_method} pruning of its attention and "
            f"{self.config.dense_pruning_method} pruning of its feed-forward layers",
        )
        return small

    def structure(self) -> list[KeptStructure]:
        """The heads and neurons that ``compact`` keeps of each layer."""
        return structure_of(self._plain())

    def report(self) -> DensityReport:
        """Densities of masks and of what they leave, per matrix and in all."""
        plain = self._plain()
        masks = self.masks()
        of_layers = [{name: masks[f"{layer.name}.{name}"] for name, _ in layer.named()} for layer in self.layers]
        return report_of_masks(plain.config, structure_of(plain), of_layers)

    def _plain(self) -> Any:
        """A copy of the model as one of ours, with plain linears."""
        return materialize_masks(self.model, self.family)

    def _structural_masks(self) -> dict[str, Tensor]:
        """1 in the rows and columns of surviving heads and neurons."""
        plain = self._plain()
        masks = {}
        axes_of_layers = linear_axes(plain.config.model_spec, plain.config)
        for layer, kept, axes in zip(self.layers, structure_of(plain), axes_of_layers, strict=True):
            for name, linear in layer.named():
                rows, columns = map(kept.indices, axes[name])
                mask = torch.zeros_like(linear.weight)
                mask[rows[:, None], columns[None, :]] = 1
                masks[f"{layer.name}.{name}"] = mask
        return masks


class PruningCallback(TrainerCallback):
    """Movement pruning inside ``transformers.Trainer``, without a subclass of the trainer.

    The threshold moves by step, and scores have a parameter group of their own. The trainer reads its loss from the
    model's output, into which a forward hook, there while training lasts, puts the teacher's and the regularizer's
    part. A trainer that computes its loss itself would leave these out, and is refused in its first step.
    """

    def __init__(self, pruner: MovementPruner) -> None:
        self.pruner = pruner
        self.hook: Any = None
        self._is_used = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raises ``ValueError`` when checkpoints are asked for, or the scheduler cannot take up a group of scores."""
        if str(getattr(args.save_strategy, "value", args.save_strategy)) != "no":
            raise ValueError(
                "'save_strategy' must be 'no' while a model is masked: matrices share scores, which a file of weights "
                f"cannot. Got '{args.save_strategy}'; save what 'compact' returns"
            )
        if not self.pruner.is_finetuning:
            _separate_scores(self.pruner, kwargs["optimizer"], kwargs["lr_scheduler"])
        self._remove_hook()  # of a training that was broken off
        self.hook = self.pruner.model.register_forward_hook(self._with_whole_loss, with_kwargs=True)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raises ``ValueError`` when the warm-ups leave no step for the schedule."""
        if not self.pruner.is_finetuning:
            self.pruner.set_step(state.global_step, state.max_steps, args.get_warmup_steps(state.max_steps))

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raises ``ValueError`` when the step's gradients are not of the model's loss."""
        if not self._is_used:
            raise ValueError(_OWN_LOSS)
        self._is_used = False

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Training ends at the final threshold, whatever the last step's was."""
        self.pruner.threshold.current = self.pruner.config.final_threshold
        self._remove_hook()

    def _remove_hook(self) -> None:
        if self.hook is not None:
            self.hook.remove()
            self.hook = None

    def _with_whole_loss(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> Any:
        if model.training:
            if getattr(outputs, "loss", None) is None:
                raise ValueError(_OWN_LOSS)
            outputs.loss = self.pruner.loss(outputs.loss, kwargs, outputs)
            outputs.loss.register_hook(self._note_use)
        return outputs

    def _note_use(self, gradient: Tensor) -> None:
        self._is_used = True


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


def _teacher_of(model: nn.Module, config: PruningConfig, teacher: nn.Module | None) -> nn.Module | None:
    """The teacher given or named, frozen and in evaluation mode; None without one.

    Raises:
        ValueError: when both are given, the folder's class is not known, or its labels are not the model's.
    """
    folder = config.distil_teacher_name_or_path
    if teacher is not None and folder is not None:
        raise ValueError("Either 'teacher' or 'distil_teacher_name_or_path' must be given, not both")
    if folder is not None:
        teacher = load_teacher(folder)
    if teacher is None:
        return None
    check_labels(teacher, model)
    return teacher.eval().requires_grad_(False)


def _mask_of(linear: nn.Linear) -> Any:
    """The module that masks the weight of ``linear``, or None."""
    return linear.parametrizations.weight[0] if parametrize.is_parametrized(linear, "weight") else None  # type: ignore[index, union-attr]


def _evaluated_mask(linear: nn.Linear) -> Tensor:
    mask = _mask_of(linear)
    was_training = mask.training
    result = mask.eval().mask().expand_as(linear.weight).clone()
    mask.train(was_training)
    return result


def _separate_scores(pruner: MovementPruner, optimizer: Any, scheduler: Any) -> None:
    """Moves the scores into a group with their learning rate and no weight decay; the scheduler follows it. An
    optimizer that was made with ``parameter_groups`` has that group.

    Raises:
        ValueError: for a scheduler that is not a function of the step.
    """
    learned = pruner.learned_scores
    known = {id(parameter) for parameter in learned}
    if not learned:
        return
    if any({id(parameter) for parameter in group["params"]} == known for group in optimizer.param_groups):
        return
    if not isinstance(scheduler, LambdaLR):
        raise ValueError(
            "'lr_scheduler_type' must be linear, cosine, constant or another function of the step, which the scores "
            f"can follow. Got a {type(scheduler).__name__}; or give Trainer(optimizers=...) an optimizer of "
            "pruner.parameter_groups(...), and its scheduler"
        )
    for group in optimizer.param_groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in known]
    inner = getattr(optimizer, "optimizer", optimizer)
    rate = pruner.config.mask_scores_learning_rate
    inner.add_param_group({"params": learned, "lr": rate, "initial_lr": rate, "weight_decay": 0.0})
    scheduler.base_lrs.append(rate)
    scheduler.lr_lambdas.append(scheduler.lr_lambdas[0])
    inner.param_groups[-1]["lr"] = rate * scheduler.lr_lambdas[0](scheduler.last_epoch)
