"""A trained candidate: its folder, and what was measured of it. Its speed is that of the model in the folder, loaded
again.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dataset import PreparedData
from design_space.files import write_atomically
from flexibert import Latency, measure_latency, write_model_card

from ..candidate import RESULT_FILE, read_result
from .evaluate import mean_over_tasks
from .recipe import TrainingJob
from .task_heads import Model, model_class
from .uncertainty import error_of_mean

_REPEATS = 9


@dataclass(frozen=True)
class TrainingResult:
    """What a trained candidate measured.

    Attributes:
        score: the task's metric on the validation split; higher is better. Of several tasks the mean.
        objectives: ``parameters``, ``latency_ms`` and its 95 % confidence interval (``latency_low_ms``,
            ``latency_high_ms``), the standard error of the score (``score_error``), and every metric of the task, of
            several with the task's name before.
        cost_s: seconds of training and evaluation, of all attempts together.
        overlap: share of parameters that came from the parent; 0 from scratch.
        figures: ``pretrain_perplexity``, and of each phase (``pretrain``, ``finetune``) tokens per second of training
            and of making batches alone (``_train_tokens_per_s``, ``_input_tokens_per_s``; the first not of a phase that
            was cut) and ``_padding_share``. Of several tasks those of the one with most rows, and each with its name.
        speed: how the latency was measured: the fields of ``Latency``.
    """

    score: float
    objectives: dict[str, float]
    cost_s: float
    overlap: float
    figures: dict[str, float] = field(default_factory=dict)
    speed: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A candidate after one task."""

    model: Model
    metrics: dict[str, float]
    overlap: float
    figures: dict[str, float]


def save_and_measure(
    job: TrainingJob, data: PreparedData, trained: Sequence[Trained], lap: Callable[[], float]
) -> None:
    """Writes the model folder, with ``training.json``, under another name and renames it, so that it is there whole or
    not at all.

    Args:
        trained: the candidate after each task.
        lap: says how many seconds the job has taken.
    """
    model_dir = Path(job.models_dir) / job.candidate.spec.hash
    partial = model_dir.with_name(f".{model_dir.name}.{job.trial}")
    shutil.rmtree(partial, ignore_errors=True)
    largest = data.largest_task
    folders = [(partial, trained[largest], data.tasks[largest])]
    if data.task_names:
        folders += [(partial / task.name, one, task) for task, one in zip(data.tasks, trained, strict=True)]
    for folder, one, task in folders:
        one.model.save_pretrained(folder)
        task.tokenizer.save_pretrained(folder)
    result = _measured(job, data, trained, largest, partial, lap)
    speed = Latency(**result.speed)
    for folder, one, task in folders:
        write_model_card(
            folder,
            one.model,
            title=f"FlexiBERT `{job.candidate.spec.hash[:12]}` for {task.name}",
            scores=one.metrics | {name: result.objectives[name] for name in ("parameters", "latency_ms")},
            scores_heading=f"measured on validation ({task.sizes['validation']:,} texts)",
            notes=[
                f"Chosen by the search as `{job.candidate.proposed_by}`.",
                f"A forward pass takes {speed}: the median and its 95 % confidence interval, on the worker that "
                "trained it.",
            ],
        )
    content = {"trial": job.trial, "candidate": job.candidate.to_dict(), "result": dataclasses.asdict(result)}
    write_atomically(partial / RESULT_FILE, json.dumps(content, indent=2))
    shutil.rmtree(model_dir, ignore_errors=True)
    partial.rename(model_dir)


def speed_again(model_dir: Path, data: PreparedData) -> Latency | None:
    """Measures the speed of the model in a folder as it was measured where it was trained, but here, beside nothing
    else. Returns None for a folder that does not say how."""
    result = read_result(model_dir)
    speed = result["result"].get("speed") if result else None
    if not speed:
        return None
    condition = {name: speed[name] for name in ("batch_size", "length", "threads", "runtime") if name in speed}
    return measure_latency(_load(model_dir, data), **condition, repeats=_REPEATS)


def _load(folder: Path, data: PreparedData) -> Model:
    """Loads the model, of several tasks that of the one with most rows."""
    model = model_class(data.tasks[data.largest_task]).from_pretrained(folder)
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def _measured(
    job: TrainingJob,
    data: PreparedData,
    trained: Sequence[Trained],
    largest: int,
    folder: Path,
    lap: Callable[[], float],
) -> TrainingResult:
    """Returns the mean over the tasks, and size and speed of the model in ``folder``."""
    metrics, figures = dict(trained[largest].metrics), dict(trained[largest].figures)
    if data.task_names:
        metrics = mean_over_tasks(data, [one.metrics for one in trained])
        for task, one in zip(data.tasks, trained, strict=True):
            figures |= {f"{task.name}_{name}": value for name, value in one.figures.items() if "finetune" in name}
    model = _load(folder, data)
    speed = measure_latency(model, **{"length": job.recipe.max_length, "repeats": _REPEATS, **job.timing})
    objectives = {
        **metrics,
        "score_error": error_of_mean([one.figures["score_error"] for one in trained]),
        "parameters": float(sum(parameter.numel() for parameter in model.parameters())),
        "latency_ms": round(speed.median_ms, 3),
        "latency_low_ms": round(speed.low_ms, 3),
        "latency_high_ms": round(speed.high_ms, 3),
    }
    return TrainingResult(
        metrics[data.metric], objectives, round(lap(), 2), trained[largest].overlap, figures, speed._asdict()
    )
