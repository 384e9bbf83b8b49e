"""One search over one graph library, from its options to the best model and the report."""

import shutil
from typing import Any

from rich.console import Console

from design_space.options import as_values
from embeddings import GraphLibrary
from embeddings.library_file import check_measured_on

from ..baselines import SAME_SIZE, baseline_spec, same_size
from ..evaluation import compare_baselines
from ..records.run_directory import RunDirectory
from ..report import write_report
from ..tune.runner import LevelRun, run_level
from ..tune.storage import Storage
from .options import SearchOptions
from .provenance import check_models, measured_on
from .summary import keep_best, write_summary
from .teaching import NONE, teacher_of_level

NOT_SAVED = ("config", "quiet", "resume", "run_dir")


def search(options: SearchOptions, console: Console) -> dict[str, Any]:
    """Run one level; returns the evaluation of the best model (see ``keep_best``).

    Raises:
        ValueError: for options that do not fit the library, the data or the cluster, a run directory in use, or scores
            or models of another task.
    """
    directory = RunDirectory(options.run_dir)
    library = GraphLibrary.load(options.dataset_file)
    recipe, goals = options.tuned_recipe, options.wanted.goals()
    with directory.locked():
        directory.check(library.fingerprint, resume=options.resume)
        data_dir = options.prepared_dir or directory.data_dir
        data = options.data.prepare(data_dir, console)
        models_dir = options.models_dir or directory.models_dir
        identity = measured_on(data)
        check_measured_on(library.performances, library.measured_on, {data.name: identity}, options.dataset_file)
        check_models(models_dir, data.name, identity, recipe, resume=options.resume)
        with console.status("asking the teacher"):
            teacher = teacher_of_level(options.teacher, data, models_dir, directory.path)
        directory.keep(saved(options), library.fingerprint)
        console.print(
            f"{data.describe()}; {len(library):,} architectures; run directory {directory.path}",
            highlight=False,
            soft_wrap=True,
        )
        if options.teacher != NONE:
            note = "" if teacher else "; nothing is trained yet, so that this level learns from its labels alone"
            console.print(f"Teacher: {options.teacher}{note}", highlight=False, soft_wrap=True)
        storage = options.cluster.storage
        run = LevelRun(
            directory=directory,
            library=library,
            data=data,
            models_dir=models_dir,
            settings=options.settings,
            recipe=recipe,
            goals=goals,
            budget=options.budget,
            cluster=options.cluster,
            storage=Storage.of_run(storage, models_dir) if storage else None,
            teacher=teacher,
            quiet=options.quiet,
            seed=options.data.seed,
        )
        records = run_level(run, console)
        evaluation = keep_best(directory, models_dir, records, data, goals)
        best = next(record.candidate.spec for record in records if record.trial == evaluation["trial"])
        parameters = run.exact["parameters"]
        compare_baselines(
            {
                name: same_size(best, parameters) if name == SAME_SIZE else baseline_spec(name)
                for name in options.baseline
            },
            data,
            recipe,
            directory.path / "baselines",
            console,
            seed=options.data.seed,
            num_threads=max(1, int(options.cluster.resources_per_trial.get("cpu", 1))),
        )
        write_summary(directory, records, evaluation, goals)
        shutil.rmtree(directory.work_dir, ignore_errors=True)
        figures = ", ".join(f"{name} {value:.4f}" for name, value in evaluation["metrics"].items())
        console.print(
            f"Best: {evaluation['trial']}, on {evaluation['split']}: {figures}; saved in {directory.best_dir}",
            highlight=False,
            soft_wrap=True,
        )
        report = write_report(directory.path)
        console.print(f"How it was found: {directory.summary_file} and {report}", highlight=False, soft_wrap=True)
        # Last: a library that got scores of another task meanwhile refuses these, which costs no result then.
        scores = {record.candidate.spec.hash: record.score for record in records if record.score is not None}
        GraphLibrary.record(options.dataset_file, scores, task=data.name, measured_on=identity)
    return evaluation


def saved(options: SearchOptions) -> dict[str, Any]:
    """The options as a run's ``config.yaml`` keeps them."""
    return {name: value for name, value in as_values(options).items() if name not in NOT_SAVED}
