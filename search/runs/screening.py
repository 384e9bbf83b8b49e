"""Children of a trained model of a run, screened on its cluster; what is known of them lies in the run directory."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rich.console import Console

from design_space import ModelSpec
from design_space.plugins import loaded_plugins
from flexibert.pruning import linear_weights

from ..objectives import SCORE, Goals
from ..records.journal import TrialRecord
from ..tune.runner import LevelRun, in_storage, run_level
from ..tune.screener import ScreeningJob
from ..tune.screening import Tighten, screen_children
from ..tune.storage import data_name, model_name

SIZES = (0.7, 0.5, 0.35, 0.25, 0.18, 0.125, 0.09, 0.0625)
"""Shares of the encoder's parameters, word vectors not counted, for which children are made where no size is asked
for."""


def trained_root(run: LevelRun, console: Console) -> TrialRecord:
    """The encoder, fine-tuned as it is: now, or before the run was cut, whose open trials wait for their teacher."""
    budget = replace(run.budget, max_trials=(1,), max_hours=None)
    known = Goals(objectives=(SCORE, *run.exact), exact=run.exact)
    root = _first_root(run.directory.journal.trials().values())
    if root is None:
        root = _first_root(run_level(with_all_cores(replace(run, budget=budget, goals=known)), console))
    if root is None:
        raise ValueError(f"The encoder could not be fine-tuned: {_reason(run)}")
    return root


def _reason(run: LevelRun) -> str:
    errors = [record.error for record in run.directory.journal.trials().values() if record.error]
    last = errors[-1].strip().splitlines()[-1] if errors else "no trial has ended"
    return f"{last}. Its traceback is in {run.directory.journal.path}; for another attempt choose another --run_dir"


def _first_root(records: Iterable[TrialRecord]) -> TrialRecord | None:
    roots = (one for one in records if one.candidate.origin.name == "pretrained" and one.score is not None)
    return next(roots, None)


def with_all_cores(run: LevelRun) -> LevelRun:
    """For one trial at a time: it gets all of this machine where nothing else was asked for."""
    cluster = run.cluster
    if cluster.address is None and cluster.resources_per_trial == {"cpu": 1.0}:
        cluster = replace(cluster, resources_per_trial={"cpu": float(os.cpu_count() or 1)})
    return replace(run, cluster=cluster)


def sizes(run: LevelRun) -> list[dict[str, float]]:
    """Limits on the parameters of children, for all ``SIZES``."""
    assert run.roots is not None
    spec = run.roots.reference
    whole = float(run.exact["parameters"]([spec])[0])
    of_layers = linear_weights(spec, run.config)
    return [{"parameters": whole - (1 - share) * of_layers} for share in SIZES]


def screened_children(
    run: LevelRun,
    parent: TrialRecord,
    limits: Sequence[Mapping[str, float]],
    *,
    count: int,
    number: int,
    tighten: Tighten | None = None,
    console: Console,
) -> dict[ModelSpec, float]:
    """What ``count`` children of a trial score before they are trained, and what it scores itself.

    Args:
        limits: and ``tighten``, see ``screen_children``.
        number: of the file that keeps them: a run that goes on reads it.
    """
    resources, model_dir = run.cluster.resources_per_trial, run.models_dir / parent.candidate.spec.hash
    places = {"data_dir": str(run.data.path), "model_dir": str(model_dir)}
    if run.storage is not None:
        names = data_name(run.data.path), model_name(model_dir.name)
        in_storage(run.storage, dict(zip(names, (run.data.path, model_dir), strict=True)))
        places = {**dict(zip(places, names, strict=True)), "storage": run.storage.uri}
    assert parent.score is not None
    job = ScreeningJob(
        score=parent.score,
        costs=run.exact,
        num_threads=max(1, int(resources.get("cpu", 1))),
        plugins=loaded_plugins(),
        **places,
    )
    found = screen_children(
        job,
        parent.candidate.spec,
        limits,
        count=count,
        path=run.directory.path / "screened" / f"{number}.jsonl",
        tighten=tighten,
        resources=resources,
        seed=run.seed,
        console=console,
    )
    return {parent.candidate.spec: parent.score, **found}
