"""Training on a worker of Ray.

On a node that shares no folder with the driver, what a job needs is fetched from the run's storage to a folder of the
node's own, and its checkpoints and its model go back there.
"""

import dataclasses
import hashlib
import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock
from ray import tune

from ..training.callbacks import Report
from ..training.recipe import TrainingJob
from ..training.result import TrainingResult
from ..training.retries import DiskFull, train_with_retries
from .options import without_password
from .storage import Storage, model_name


def train_trial(config: dict[str, Any], storage: str | None) -> None:
    """Trains the job of a trial's config, as Ray asks; reports figures on the way and the result at the end, or why
    there is none.

    Args:
        storage: the URI of the run's, with its password: what lies in ``config`` is written down by Tune.
    """
    try:
        job = TrainingJob.from_json(config["job"])
    except ValueError as error:  # a plugin that is not here
        tune.report({"score": math.nan, "error": str(error)})
        return
    try:
        if storage is None:
            result = train_with_retries(job, tune.report)
        else:
            result = train_remotely(job, Storage(storage), tune.report)
    except DiskFull as error:
        tune.report({"disk_full": str(error)})
        return
    if isinstance(result, str):
        tune.report({"score": math.nan, "error": without_password(result, storage)})
        return
    tune.report(
        {"score": result.score, "objectives": result.objectives, "cost_s": result.cost_s, "overlap": result.overlap}
    )


def train_remotely(job: TrainingJob, storage: Storage, report: Report) -> TrainingResult | str:
    """Trains as ``train_with_retries`` does, with the folders of a storage; ``job.data_dir`` and ``job.teacher`` are
    names there.

    Raises:
        ValueError: when the storage holds not what the job needs.
        DiskFull: when a disk is full.
    """
    node = node_folder(storage.uri)
    own = node / f"{job.trial}-{job.candidate.spec.hash[:12]}"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    work = f"work/{own.name}"
    here = dataclasses.replace(
        job,
        storage="",
        data_dir=str(node / job.data_dir),
        teacher=job.teacher and str(node / job.teacher),
        models_dir=str(own / "models"),
        work_dir=str(own / "work"),
        roots={name: str(own / place) for name, place in job.roots.items()},
    )
    try:
        for name in filter(None, (job.data_dir, job.teacher)):
            fetched(storage, name, node)
        for graph_hash in job.candidate.origin.parents:
            _fetch(storage, model_name(graph_hash), own / "models" / graph_hash)
        for name, place in job.roots.items():
            _fetch(storage, place, Path(here.roots[name]))
        if checkpoints := storage.names(work):
            _fetch(storage, f"{work}/{checkpoints[-1]}", own / "work")
        trained = model_name(job.candidate.spec.hash)
        storage.fetch(trained, own / "models" / job.candidate.spec.hash)  # by a trial whose end was not heard
        result = train_with_retries(here, _Keeping(report, storage, work, Path(here.work_dir)))
        if isinstance(result, TrainingResult) and not storage.has(trained):
            storage.push(own / "models" / job.candidate.spec.hash, trained)
        storage.remove(work)
        return result
    finally:
        shutil.rmtree(own, ignore_errors=True)


def node_folder(uri: str) -> Path:
    """Returns the folder of this node in which what a run has in its storage is kept for all its workers."""
    return Path(tempfile.gettempdir()) / f"flexibert-nas-{hashlib.sha256(uri.encode()).hexdigest()[:12]}"


def fetched(storage: Storage, name: str, node: Path) -> Path:
    """Returns a folder of the storage, in the node's; the first of several workers fetches it.

    Raises:
        ValueError: when the storage does not hold it.
    """
    node.mkdir(parents=True, exist_ok=True)
    with FileLock(node / f".{name.replace('/', '-')}.lock"):
        if not (node / name).exists():
            _fetch(storage, name, node / name)
    return node / name


class _Keeping:
    """A report that also puts away what a job that is cut need not do again, whenever there is a new checkpoint."""

    def __init__(self, report: Callable[[dict[str, Any]], None], storage: Storage, name: str, work_dir: Path) -> None:
        self._report, self._storage, self._name, self._work_dir = report, storage, name, work_dir
        self._kept = self._checkpoints()

    def __call__(self, figures: dict[str, Any]) -> None:
        checkpoints = self._checkpoints()
        if checkpoints - self._kept:
            before = self._storage.names(self._name)
            number = int(before[-1]) + 1 if before else 0
            self._storage.push(self._work_dir, f"{self._name}/{number:04d}")
            for name in before:
                self._storage.remove(f"{self._name}/{name}")
        self._kept = checkpoints
        self._report(figures)

    def _checkpoints(self) -> set[str]:
        """Returns the last-written files of checkpoints, and of phases that are done."""
        files = [path for name in ("trainer_state.json", "figures.json") for path in self._work_dir.rglob(name)]
        return {str(path.relative_to(self._work_dir)) for path in files}


def _fetch(storage: Storage, name: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not storage.fetch(name, folder):
        raise ValueError(f"The run's storage {storage.shown} does not hold '{name}'")
