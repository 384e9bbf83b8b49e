"""Movement pruning inside ``transformers.Trainer``: one callback, no subclass of the trainer.

The trainer reads its loss from the model's output; a forward hook, there while training lasts, puts the teacher's and
the regularizer's part into it.
"""

from typing import TYPE_CHECKING, Any

from torch import nn
from transformers import TrainerCallback

if TYPE_CHECKING:
    from .pruner import MovementPruner


class PruningCallback(TrainerCallback):
    """Threshold by step, loss by hook, scores in a parameter group of their own. See ``MovementPruner.callback``."""

    def __init__(self, pruner: "MovementPruner") -> None:
        self.pruner = pruner
        self.hook: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raises ``ValueError`` when the warm-ups leave no step for the schedule, or checkpoints are asked for."""
        if str(getattr(args.save_strategy, "value", args.save_strategy)) != "no":
            raise ValueError(
                "'save_strategy' must be 'no' while a model is masked: matrices share scores, which a file of weights "
                f"cannot. Got '{args.save_strategy}'; save what 'compact' returns"
            )
        self.total_steps = state.max_steps
        self.warmup_steps = args.get_warmup_steps(state.max_steps)
        if not self.pruner.is_finetuning:
            self.pruner.set_step(state.global_step, self.total_steps, self.warmup_steps)
            _separate_scores(self.pruner, kwargs["optimizer"], kwargs["lr_scheduler"])
        self.hook = self.pruner.model.register_forward_hook(self._with_whole_loss, with_kwargs=True)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self.pruner.is_finetuning:
            self.pruner.set_step(state.global_step, self.total_steps, self.warmup_steps)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Training ends at the final threshold, whatever the last step's was."""
        self.pruner.threshold.current = self.pruner.config.final_threshold
        if self.hook is not None:
            self.hook.remove()
            self.hook = None

    def _with_whole_loss(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> Any:
        if model.training and getattr(outputs, "loss", None) is not None:
            outputs.loss = self.pruner.loss(outputs.loss, kwargs, outputs)
        return outputs


def _separate_scores(pruner: "MovementPruner", optimizer: Any, scheduler: Any) -> None:
    """Moves the scores into a group with their learning rate and no weight decay; the scheduler follows it."""
    learned = [x.scores for x in pruner.scores if x.scores is not None and x.scores.requires_grad]
    known = {id(parameter) for parameter in learned}
    if not learned:
        return
    for group in optimizer.param_groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in known]
    inner = getattr(optimizer, "optimizer", optimizer)
    rate = pruner.config.mask_scores_learning_rate
    inner.add_param_group({"params": learned, "lr": rate, "initial_lr": rate, "weight_decay": 0.0})
    scheduler.base_lrs.append(rate)
    scheduler.lr_lambdas.append(scheduler.lr_lambdas[0])
    inner.param_groups[-1]["lr"] = rate * scheduler.lr_lambdas[0](scheduler.last_epoch)
