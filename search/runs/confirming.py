"""The best trials once more, with another seed: of many scores on the same rows the highest is flattered.

What each scored lies in ``confirmed.json`` by trial, and is not trained again by a run that goes on.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

import ray
from pydantic import TypeAdapter
from rich.console import Console

from design_space.files import read_json, write_atomically
from design_space.plugins import loaded_plugins
from design_space.schemas import checked

from ..records.journal import TrialRecord, ranked_records
from ..training.recipe import TrainingJob
from ..training.result import TrainingResult
from ..training.retries import train_with_retries
from ..tune.runner import LevelRun

_FILE, _FOLDER = "confirmed.json", "confirmed"
_SEED = 1_000_003
"""Added to the run's seed: no trial has it."""

_SCORES: TypeAdapter[Any] = TypeAdapter(dict[str, float])


def confirm(run: LevelRun, records: Sequence[TrialRecord], count: int, console: Console) -> list[TrialRecord]:
    """The best trials that keep the constraints, each with the mean of its score and that of another training.

    Args:
        count: how many. The weights of the others stay as they are, and so do those of these.

    Raises:
        ValueError: for a training that fails.
    """
    able = [one for one in ranked_records(records, run.goals) if run.goals.constraint_violation(one.objectives) == 0]
    file = run.directory.path / _FILE
    scores: dict[str, float] = checked(_SCORES, read_json(file), file) if file.exists() else {}
    waiting = {_start(run, one): one for one in able[:count] if one.trial not in scores}
    while waiting:
        (done,), _ = ray.wait(list(waiting))
        trial, result = waiting.pop(done).trial, ray.get(done)
        if not isinstance(result, TrainingResult):
            raise ValueError(f"Trial {trial} could not be trained again:\n{result}")
        scores[trial] = result.score
        write_atomically(file, json.dumps(scores, indent=2))
    found = [_with_mean(one, scores[one.trial]) for one in able[:count]]
    for record, mean in zip(able, found, strict=False):
        console.print(
            f"{record.trial} again: {scores[record.trial]:.4f} after {record.score:.4f}, mean {mean.scored}",
            highlight=False,
        )
    return found


def _with_mean(record: TrialRecord, score: float) -> TrialRecord:
    """The error of the mean is that of one: both were measured on the same rows."""
    assert record.score is not None
    return dataclasses.replace(record, score=(record.score + score) / 2)


def _start(run: LevelRun, record: TrialRecord) -> Any:
    """Has a worker train a trial again, in a folder of its own in which its parents are found."""
    folder = run.directory.path / _FOLDER / record.trial
    folder.mkdir(parents=True, exist_ok=True)
    for parent in record.candidate.origin.parents:
        if not (folder / parent).exists():
            (folder / parent).symlink_to((run.models_dir / parent).absolute(), target_is_directory=True)
    resources = run.cluster.resources_per_trial
    job = TrainingJob(
        trial=f"{record.trial}-again",
        candidate=record.candidate,
        data_dir=str(run.data.path),
        models_dir=str(folder),
        work_dir=str(run.directory.work_dir / f"{record.trial}-again"),
        recipe=run.recipe,
        seed=run.seed + _SEED,
        num_threads=max(1, math.floor(resources.get("cpu", 1))),
        plugins=loaded_plugins(),
        timing=run.timing,
        network=run.network,
        roots={name: str(place) for name, place in run.roots.folders.items()} if run.roots else {},
        teacher=str(run.teacher or ""),
    )
    worker = ray.remote(num_cpus=resources.get("cpu", 0), num_gpus=resources.get("gpu", 0))(_train)
    return worker.remote(job.to_json())


def _train(job: str) -> TrainingResult | str:
    return train_with_retries(TrainingJob.from_json(job), lambda _: None)
