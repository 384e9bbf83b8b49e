"""One search, over a graph library or the parts of a pre-trained encoder, from its options to the best model and the
report."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from dataset import PreparedData
from dataset.prepare import DataOptions
from design_space.files import check_writable
from design_space.options import as_values
from embeddings import GraphLibrary
from embeddings.library_file import differences, scored_as
from flexibert.runtimes.runner import check_runtime

from ..baselines import SAME_SIZE, baseline_spec, same_size
from ..evaluation import compare_baselines
from ..records.journal import TrialRecord, tied_records
from ..records.run_directory import RunDirectory
from ..report import write_report
from ..tracking.follow import followed
from ..tune.cluster import ray_cluster
from ..tune.options import without_password
from ..tune.runner import LevelRun, run_level
from ..tune.storage import Storage
from .confirming import confirm
from .held_out import compare_best
from .options import SearchOptions
from .provenance import check_models, measured_on
from .roots import prepare_roots, with_tokenizer
from .screening import screened_children, sizes, trained_root
from .summary import add_to_summary, keep_best, write_summary
from .teaching import NONE, teacher_of_level

NOT_SAVED = ("config", "quiet", "resume", "run_dir")


def search(options: SearchOptions, console: Console) -> dict[str, Any]:
    """Run one level; returns the evaluation of the best model (see ``keep_best``).

    Raises:
        ValueError: for options that do not fit the library, the data or the cluster, a run directory in use, or models
            of another task.
    """
    directory = RunDirectory(options.run_dir)
    with directory.locked(), followed(directory, options.track, console):
        run = begin(options, directory, console)
        data, goals = run.data, run.goals
        run, records = _trained(run, options, console)
        evaluation = keep_best(directory, run.models_dir, records, data, goals, best=_best(run, records, console))
        best = next(record for record in records if record.trial == evaluation["trial"])
        parameters = run.exact["parameters"]
        baselines = {
            name: same_size(best.candidate.spec, parameters) if name == SAME_SIZE else baseline_spec(name)
            for name in options.baseline
        }
        compare_baselines(
            baselines,
            data,
            run.recipe,
            directory.path / "baselines",
            console,
            seed=options.data.seed,
            num_threads=max(1, int(options.cluster.resources_per_trial.get("cpu", 1))),
        )
        beside = compare_best(run, records, best, baselines, evaluation["split"], console)
        write_summary(directory, records, evaluation, goals)
        add_to_summary(directory, beside)
        shutil.rmtree(directory.work_dir, ignore_errors=True)
        figures = ", ".join(f"{name} {value:.4f}" for name, value in evaluation["metrics"].items())
        console.print(
            f"Best: {evaluation['trial']}, on {evaluation['split']}: {figures}; saved in {directory.best_dir}",
            highlight=False,
            soft_wrap=True,
        )
        report = write_report(directory.path)
        console.print(f"How it was found: {directory.summary_file} and {report}", highlight=False, soft_wrap=True)
        if options.dataset_file:
            scores = {record.candidate.spec.hash: record.score for record in records if record.score is not None}
            GraphLibrary.record(options.dataset_file, scores, task=data.name, measured_on=measured_on(data))
    return evaluation


def begin(options: SearchOptions, directory: RunDirectory, console: Console) -> LevelRun:
    """What is searched, on prepared data, with everything checked, and written down in the run directory.

    Raises:
        ValueError: as ``search``.
    """
    check_runtime(options.wanted.runtime)
    library = GraphLibrary.load(options.dataset_file) if options.dataset_file else None
    if options.dataset_file:
        check_writable(options.dataset_file.parent)  # scores are added at the end
    fingerprint = library.fingerprint if library else " ".join(options.roots.start_from)
    directory.check(fingerprint, resume=options.resume)
    recipe, roots, data_options = options.tuned_recipe, None, options.data
    if options.roots.start_from:
        roots = prepare_roots(options.roots, options.data, directory.path / "roots", console)
        data_options = with_tokenizer(options.data, roots)
    own = options.prepared_dir is None and not directory.has_begun()
    data = prepared(data_options, options.prepared_dir or directory.data_dir, console, is_disposable=own)
    models_dir = options.models_dir or directory.models_dir
    identity = measured_on(data)
    name = scored_as(library.performances, library.measured_on, data.name, identity) if library else data.name
    if library and name != data.name:
        different = ", ".join(differences(library.measured_on[data.name], identity))
        console.print(
            f"{options.library_file} holds scores of another task '{data.name}' (different {different}); those of this "
            f"search are called '{name}' there",
            highlight=False,
            soft_wrap=True,
        )
    check_models(models_dir, data.name, identity, recipe, resume=options.resume)
    directory.keep(saved(options), fingerprint)
    searched = [f"{len(library):,} architectures"] if library else []
    searched += [f"what {name} holds" for name in roots.specs] if roots else []
    console.print(
        f"{data.describe()}; {' and '.join(searched)}; run directory {directory.path}",
        highlight=False,
        soft_wrap=True,
    )
    storage = options.cluster.storage
    run = LevelRun(
        directory=directory,
        library=library,
        roots=roots,
        data=data,
        scored_as=name,
        models_dir=models_dir,
        settings=options.settings,
        recipe=recipe,
        goals=options.wanted.goals(),
        timing={"runtime": options.wanted.runtime},
        budget=options.budget,
        cluster=options.cluster,
        storage=Storage.of_run(storage, models_dir) if storage else None,
        quiet=options.quiet,
        seed=options.data.seed,
    )
    return run if roots else with_teacher(run, options.chosen_teacher, None, console)


def prepared(options: DataOptions, folder: Path, console: Console, *, is_disposable: bool) -> PreparedData:
    """The data.

    Args:
        is_disposable: whether other data in the folder, which a start that came to nothing has left, may be removed.
    """
    try:
        return options.prepare(folder, console)
    except ValueError:
        if not (is_disposable and folder.is_dir()):
            raise
        shutil.rmtree(folder)
        return options.prepare(folder, console)


def _trained(run: LevelRun, options: SearchOptions, console: Console) -> tuple[LevelRun, list[TrialRecord]]:
    """All trials, and the run as it was for the last of them. Where a search starts from an encoder, this is trained
    first: it may be the teacher, and its parts are screened."""
    if run.roots is None:
        return run, run_level(run, console)
    with ray_cluster(run.cluster.address):
        root = trained_root(run, console)
        run = with_teacher(run, options.chosen_teacher, root, console)
        if run.library is None and options.roots.screen:
            children = screened_children(run, root, sizes(run), count=options.roots.screen, number=1, console=console)
            run = replace(run, screened=children)
        return run, run_level(run, console)


def _best(run: LevelRun, records: Sequence[TrialRecord], console: Console) -> TrialRecord | None:
    """The best by the means of two trainings, where they are asked for."""
    if not run.budget.confirm:
        return None
    with ray_cluster(run.cluster.address):
        means = confirm(run, records, run.budget.confirm, console)
    if not means:
        return None
    chosen = tied_records(means, run.goals)[0].trial
    return next(record for record in records if record.trial == chosen)


def with_teacher(run: LevelRun, teacher: str, root: TrialRecord | None, console: Console) -> LevelRun:
    """The run, whose trials learn from a teacher (see ``teacher_of_level``)."""
    place = run.models_dir / root.candidate.spec.hash if root else None
    with console.status("asking the teacher"):
        logits = teacher_of_level(teacher, run.data, run.models_dir, run.directory.path, root=place)
    if teacher != NONE:
        note = "" if logits else "; nothing is trained yet, so that this level learns from its labels alone"
        console.print(f"Teacher: {teacher}{note}", highlight=False, soft_wrap=True)
    return replace(run, teacher=logits)


def saved(options: SearchOptions) -> dict[str, Any]:
    """The options as a run's ``config.yaml`` keeps them, without a password."""
    values = {name: value for name, value in as_values(options).items() if name not in NOT_SAVED}
    return values | ({"storage": without_password(values["storage"])} if values.get("storage") else {})
