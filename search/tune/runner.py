"""One level of a search: proposals by BOSHNAS, trials by Ray Tune, results in the journal.

A resumed run is a new ``Tuner`` over the same journal: finished trials are told to the searcher, those in flight go
on from their checkpoints.
"""

import dataclasses
import errno
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from rich.console import Console

from dataset import PreparedData
from design_space import ModelSpec, Subarchitectures
from design_space.plugins import loaded_plugins
from embeddings import GraphLibrary
from flexibert import FlexiBERTConfig, LatencyModel, transfer_overlap

from ..candidate import Candidate, trained_candidate
from ..objectives import Exact, Goals, exact_costs
from ..optimizer.boshnas import BOSHNAS
from ..optimizer.settings import BOSHNASSettings
from ..records.journal import TrialRecord, ranked_records
from ..records.run_directory import RunDirectory
from ..training.recipe import Recipe, TrainingJob
from ..training.retries import disk_full_cause
from ..training.roots import Roots
from ..training.task_heads import head_size, scratch_network
from .cluster import NODE_PATIENCE_S, check_resources, fitting_trials, ray_cluster
from .journal_callback import JournalCallback
from .model_retention import ModelKeeper, removed_candidate
from .options import BudgetOptions, ClusterOptions
from .progress import ProgressCallback
from .remote_training import train_trial
from .searcher import BOSHNASSearch
from .storage import Storage, data_name, model_name, root_name, teacher_name

_MOST_DEATHS = 2
"""Workers or nodes that may die under a trial for Tune, which gives up at once when one dies before the trial runs."""

_MAX_REQUEUES = 4
"""How often what Tune has given up is tried again: fifteen deaths in all, each of which costs the time since the last
checkpoint. What kills more is taken to be the trial itself. (Six were too few: a cluster that lost something every
twenty seconds failed a healthy trial.)"""


@dataclass(frozen=True, kw_only=True)
class LevelRun:
    """What is searched, on which data, and with which means.

    Attributes:
        library: what is searched, unless it is the parts of ``roots``, or beside them; scores of it that are of the
            task are observations.
        data: the task. scored_as: the name that its scores have in the library.
        screened: of children of trained models the scores before training, where no others are to be proposed.
        latency: what predicts ``latency_ms``; None where it is measured. timing: how (see ``TrainingJob``).
        models_dir: where trained models lie and parents are looked for, by hash.
        storage: where data and weights travel when the cluster's nodes share no folder with the driver; None when they
            do.
        teacher: folder of what a teacher says of the training rows; None without one.
        quiet: whether to leave out what went as planned.
    """

    directory: RunDirectory
    library: GraphLibrary | None
    roots: Roots | None
    data: PreparedData
    scored_as: str
    models_dir: Path
    settings: BOSHNASSettings
    recipe: Recipe
    goals: Goals
    budget: BudgetOptions
    cluster: ClusterOptions
    storage: Storage | None
    teacher: Path | None = None
    quiet: bool
    seed: int
    screened: Mapping[ModelSpec, float] | None = None
    latency: LatencyModel | None = None
    timing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exact(self) -> dict[str, Exact]:
        """The objectives that a spec alone tells, by name."""
        runtime = self.timing.get("runtime", "torch")
        found = exact_costs(self.config, length=self.recipe.max_length, runtime=runtime, **head_size(self.data))
        return found | ({"latency_ms": self.latency} if self.latency else {})

    @property
    def searched(self) -> GraphLibrary | Subarchitectures | Mapping[ModelSpec, float]:
        """What is proposed from; the library alone, where the parts of a root are searched beside it."""
        if self.screened is not None:
            return self.screened
        if self.library is not None:
            return self.library
        assert self.roots is not None
        return Subarchitectures(self.roots.reference)

    @property
    def max_trials(self) -> int | None:
        """The finished trials to stop after; None for until converged."""
        return self.budget.max_trials[0] if self.budget.max_trials else None

    @property
    def network(self) -> Mapping[str, Any]:
        """What all models share, as options of their configuration."""
        return self.roots.network if self.roots else scratch_network(self.data, self.recipe)

    @property
    def config(self) -> FlexiBERTConfig:
        """The vocabulary and positions of every model."""
        return FlexiBERTConfig(**self.network)


def run_level(run: LevelRun, console: Console) -> list[TrialRecord]:
    """Searches until ``max_trials`` are finished or BOSHNAS has converged; returns all trials of the journal.

    Raises:
        ValueError: when the cluster cannot be reached or has not what one trial needs, or every trial failed.
        OSError: when a disk is full.
    """
    search = _restored_search(run)
    if search.is_over:
        console.print(f"The run has its {search.num_finished} trials; nothing is left to train", highlight=False)
        return list(run.directory.journal.trials().values())
    with ray_cluster(run.cluster.address):
        patience_s = 0.0 if run.cluster.address in (None, "local") else NODE_PATIENCE_S
        check_resources(run.cluster.resources_per_trial, console, patience_s=patience_s)
        search.set_max_concurrency(run.budget.max_concurrent or fitting_trials(run.cluster.resources_per_trial))
        progress = ProgressCallback(
            console,
            max_trials=run.max_trials,
            max_hours=run.budget.max_hours,
            requeued=search.requeued,
            num_finished=search.num_finished,
            best=_best_so_far(run, search.boshnas),
            goals=search.boshnas.goals,
            prediction_outcomes=search.prediction_outcomes,
            quiet=run.quiet,
        )
        try:
            _tuner(run, search, progress).fit()
        except Exception as error:
            if full := disk_full_cause(error):
                raise OSError(*full.args) from error
            raise
        finally:
            progress.close()
    if search.disk_full:
        raise OSError(errno.ENOSPC, search.disk_full)
    records = list(run.directory.journal.trials().values())
    if search.has_only_failures:
        reasons = [record.error.strip().splitlines()[-1] for record in records if record.error and record.error.strip()]
        raise ValueError(
            f"All {search.num_failed} trials failed, the last one with: {reasons[-1] if reasons else 'unknown'}. Their "
            f"tracebacks are in {run.directory.journal.path}"
        )
    return records


def _restored_search(run: LevelRun) -> BOSHNASSearch:
    boshnas = BOSHNAS(
        run.searched,
        also=Subarchitectures(run.roots.reference) if run.library and run.roots else None,
        seed=run.seed,
        settings=run.settings,
        overlap=functools.partial(transfer_overlap, config=run.config),
        objectives=run.goals.objectives,
        constraints=run.goals.constraints,
        exact=run.exact,
        roots=run.roots.specs if run.roots else None,
    )
    events = list(run.directory.journal.events())
    own = {event["hash"] for event in events if event["event"] == "suggested"}
    if run.library is not None:
        for graph_hash, scores in run.library.performances.items():
            if run.scored_as in scores and graph_hash not in own:
                _tell_known(run, boshnas, graph_hash, scores[run.scored_as])
    search = BOSHNASSearch(
        boshnas,
        make_config=functools.partial(_trial_config, run, boshnas),
        journal=run.directory.journal,
        max_trials=run.max_trials,
        max_seconds=None if run.budget.max_hours is None else 3600 * run.budget.max_hours,
        max_requeues=_MAX_REQUEUES,
        receive=None if run.storage is None else functools.partial(_receive, run.storage, run.models_dir),
        keeper=None
        if run.budget.keep_models is None
        else ModelKeeper(boshnas, run.models_dir, run.budget.keep_models, run.storage),
    )
    search.replay(events)
    for graph_hash in boshnas.trained:
        if not (run.models_dir / graph_hash).is_dir():
            boshnas.forget_weights(graph_hash)
    return search


def _tell_known(run: LevelRun, boshnas: BOSHNAS, graph_hash: str, score: float) -> None:
    """Tells a score of an earlier run or level: of a member of the library, or of a child from outside whose weights
    are here, or were (``--keep_models``), which would be proposed again otherwise."""
    library = run.library
    assert library is not None
    if run.roots is not None and graph_hash in {spec.hash for spec in run.roots.specs.values()}:
        return  # trained on every level: the reference of its tables
    there = trained_candidate(run.models_dir / graph_hash)
    candidate = there or removed_candidate(run.models_dir, graph_hash)
    if graph_hash in library:
        origin = there.origin if there else None
        boshnas.add_prior_observation(library.get(graph_hash).spec, score, parent=there is not None, origin=origin)
    elif candidate is not None:
        boshnas.add_prior_observation(candidate.spec, score, parent=there is not None, origin=candidate.origin)


def _best_so_far(run: LevelRun, boshnas: BOSHNAS) -> tuple[str, float] | None:
    """Returns the trial and score of the best that keeps the constraints."""
    ranked = ranked_records(list(run.directory.journal.trials().values()), boshnas.goals)
    if not ranked or ranked[0].score is None or boshnas.goals.constraint_violation(ranked[0].objectives) > 0:
        return None
    return ranked[0].trial, ranked[0].score


def _tuner(run: LevelRun, search: BOSHNASSearch, progress: ProgressCallback) -> tune.Tuner:
    attempt = sum(1 for _ in (run.directory.path / "tune").glob("*")) + 1
    return tune.Tuner(
        tune.with_resources(
            tune.with_parameters(train_trial, storage=run.storage and run.storage.uri),
            dict(run.cluster.resources_per_trial),
        ),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=_scheduler(run),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=f"attempt-{attempt}",
            storage_path=str(run.directory.path / "tune"),
            failure_config=tune.FailureConfig(max_failures=_MOST_DEATHS),
            callbacks=[JournalCallback(run.directory.journal, search.requeued), progress],
            verbose=0,
        ),
    )


def _scheduler(run: LevelRun) -> TrialScheduler:
    """Makes the scheduler; successive halving looks only at reports that hold an epoch's score."""
    if run.budget.scheduler == "none":
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr="epoch", metric="validation_score", mode="max", grace_period=1, max_t=run.recipe.epochs + 1
    )


def _trial_config(run: LevelRun, boshnas: BOSHNAS, trial: str, candidate: Candidate) -> dict[str, Any]:
    """Returns the candidate, for those who watch, and the worker's job."""
    recipe = run.recipe
    if boshnas.phase == "refine" and recipe.autotune_trials > 1:
        recipe = dataclasses.replace(recipe, autotune_trials=2 * recipe.autotune_trials)
    job = TrainingJob(
        trial=trial,
        candidate=candidate,
        recipe=recipe,
        seed=run.seed + int(trial[1:]),
        num_threads=max(1, math.floor(run.cluster.resources_per_trial.get("cpu", 1))),
        plugins=loaded_plugins(),
        timing=run.timing,
        network=run.network,
        **_places(run, trial, candidate),
    )
    return {**candidate.to_dict(), "job": job.to_json()}


def _places(run: LevelRun, trial: str, candidate: Candidate) -> dict[str, Any]:
    """Says where a job finds what it needs, and puts it into the run's storage where there is one."""
    roots = run.roots.folders if run.roots and candidate.origin.name == "pretrained" else {}
    if run.storage is None:
        return {
            "data_dir": str(run.data.path),
            "models_dir": str(run.models_dir),
            "work_dir": str(run.directory.work_dir / trial),
            "roots": {name: str(folder) for name, folder in roots.items()},
            "teacher": str(run.teacher or ""),
        }
    teacher = {} if run.teacher is None else {teacher_name(run.teacher): run.teacher}
    needed = {data_name(run.data.path): run.data.path} | teacher
    needed |= {model_name(parent): run.models_dir / parent for parent in candidate.origin.parents}
    needed |= {root_name(name): folder for name, folder in roots.items()}
    in_storage(run.storage, needed)
    return {
        "data_dir": data_name(run.data.path),
        "models_dir": "",
        "work_dir": "",
        "roots": {name: root_name(name) for name in roots},
        "teacher": next(iter(teacher), ""),
        "storage": run.storage.shown,
    }


def in_storage(storage: Storage, folders: Mapping[str, Path]) -> None:
    """Puts folders, by name, where they are not yet."""
    for name, folder in folders.items():
        if not storage.has(name):
            storage.push(folder, name)


def _receive(storage: Storage, models_dir: Path, candidate: Candidate) -> None:
    """Brings a trained model here.

    Raises:
        ValueError: when its worker did not leave it in the storage.
    """
    name, folder = model_name(candidate.spec.hash), models_dir / candidate.spec.hash
    if not storage.fetch(name, folder) and not folder.is_dir():
        raise ValueError(f"The run's storage {storage.shown} does not hold '{name}', whose training has ended")


def _trial_name(trial: Any) -> str:
    return str(trial.config["trial"])
