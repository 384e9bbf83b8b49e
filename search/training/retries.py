"""A training that fails is tried once more with another recipe where that may help, and otherwise
given up with the reason. The death of a worker or a node is not a failure; its trial goes on elsewhere.
"""

import dataclasses
import errno
import math
import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .callbacks import Report
from .recipe import Recipe, TrainingJob
from .result import TrainingResult
from .train import train_candidate

_MOST_HALVINGS = 3
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


class DiskFull(OSError):
    """A full disk, which is no fault of the candidate, and nothing that another one would be spared."""


def disk_full_cause(error: BaseException | None) -> OSError | None:
    """Returns the full disk that an error goes back to, if it does."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error can be its own cause
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            return error
        # Of several files at once (shutil), and of what is not written in Python (safetensors), the words are left.
        if number := next((one for one in _DISK_FULL if os.strerror(one) in str(error)), None):
            return OSError(number, os.strerror(number))
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


class Diverged(ArithmeticError):
    """The loss of a training is not a number."""


def train_with_retries(job: TrainingJob, report: Report) -> TrainingResult | str:
    """Trains the job's candidate, and returns the traceback where it cannot be trained.

    Out of memory, batches are halved (with twice as many per step) up to three times; after a loss that is not a
    number, learning rates are divided by 3, once; any other error of the training is final. Each new attempt is
    reported with the phase ``retry`` and a ``note``.

    Raises:
        DiskFull: when a disk is full.
    """
    halvings = num_slower = 0
    while True:
        try:
            return train_candidate(job, raise_on_divergence(report))
        except Exception as error:
            if full := disk_full_cause(error):
                raise DiskFull(*full.args) from error
            if _is_out_of_memory(error) and halvings < _MOST_HALVINGS and job.recipe.batch_size > 1:
                halvings += 1
                recipe = with_smaller_batches(job.recipe)
                note = f"out of memory; batches of {recipe.batch_size}"
            elif isinstance(error, Diverged) and not num_slower:
                num_slower += 1
                recipe = _slower(job.recipe)
                note = f"{error}; learning rate {recipe.learning_rate:g}"
            else:
                return traceback.format_exc()
            _forget_checkpoints(Path(job.work_dir))
        job = dataclasses.replace(job, recipe=recipe)
        report({"phase": "retry", "progress": 0.0, "note": note})


def with_smaller_batches(recipe: Recipe) -> Recipe:
    """Returns a recipe with the same number of texts a step, in batches of half the size."""
    return dataclasses.replace(
        recipe,
        batch_size=max(1, recipe.batch_size // 2),
        pretrain_batch_size=max(1, recipe.pretrain_batch_size // 2),
        gradient_accumulation=2 * recipe.gradient_accumulation,
    )


def _slower(recipe: Recipe) -> Recipe:
    return dataclasses.replace(
        recipe, learning_rate=recipe.learning_rate / 3, pretrain_learning_rate=recipe.pretrain_learning_rate / 3
    )


def raise_on_divergence(report: Report) -> Callable[[dict[str, Any]], None]:
    """Returns a report that ends trainings that have diverged."""

    def watched(figures: dict[str, Any]) -> None:
        if not math.isfinite(figures.get("loss", 0.0)):
            raise Diverged(
                f"training diverged: the loss is {figures['loss']} at {figures['progress']:.0%} of {figures['phase']}"
            )
        report(figures)

    return watched


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def _forget_checkpoints(work_dir: Path) -> None:
    """Removes checkpoints: a trainer would go on with the batch size of its checkpoint, and with weights that are not
    numbers."""
    for checkpoint in work_dir.glob("**/checkpoint-*"):
        shutil.rmtree(checkpoint, ignore_errors=True)
