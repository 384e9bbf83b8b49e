"""Recipe tuning: fine-tuning recipes of one candidate, proposed by Optuna's tree-structured Parzen estimator (Bergstra
et al. 2011), the bad ones stopped by successive halving over epochs.

The original tunes the recipes of its candidates with a grid of random draws ('autotune').
"""

import dataclasses

import optuna

from .recipe import Recipe

_RANDOM_FIRST = 3
"""Recipes before the estimator has a say; the first of them is the given one."""

_FACTOR = 3.0
"""How far learning rate and weight decay may lie from the given ones."""


class RecipeTuner:
    """Proposes recipes to try, one after the other; the same seed and scores give the same ones.

    Args:
        recipe: tried first; the others have a learning rate and a weight decay within a factor of 3, half, the same or
            double the batch size, and a warm-up of up to a fifth of the steps.
    """

    def __init__(self, recipe: Recipe, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._recipe = recipe
        self._study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM_FIRST),
            pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        )
        self._trial: optuna.trial.Trial | None = None
        self._num_epochs = 0

    def propose(self) -> Recipe:
        """Returns the next recipe to try."""
        given = self._recipe
        if not self._study.trials:
            self._study.enqueue_trial({"rate": 1.0, "decay": 1.0, "batch": 1.0, "warmup": min(given.warmup_share, 0.2)})
        self._trial, self._num_epochs = self._study.ask(), 0
        suggest = self._trial.suggest_float
        rate, decay = (suggest(name, 1 / _FACTOR, _FACTOR, log=True) for name in ("rate", "decay"))
        batch = self._trial.suggest_categorical("batch", [0.5, 1.0, 2.0])
        warmup = suggest("warmup", 0.0, 0.2)
        if len(self._study.trials) == 1:
            return given
        return dataclasses.replace(
            given,
            learning_rate=given.learning_rate * rate,
            weight_decay=given.weight_decay * decay,
            batch_size=max(1, int(given.batch_size * batch)),
            warmup_share=warmup,
        )

    def falls_behind(self, score: float, epoch: int) -> bool:
        """Says whether the recipe in training should be given up, with this score after so many epochs."""
        assert self._trial is not None
        if epoch <= self._num_epochs:  # seen before
            return False
        self._num_epochs = epoch
        self._trial.report(score, epoch)
        return self._trial.should_prune()

    def tell(self, score: float) -> None:
        """Takes the score that the recipe in training ended with."""
        assert self._trial is not None
        self._study.tell(self._trial, score)
