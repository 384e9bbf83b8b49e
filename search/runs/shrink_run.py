"""One run of ``shrink_model``, from its options to the folder of the model, the table and the report."""

import shutil
from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import AfterValidator, model_validator
from rich.console import Console

from dataset import PreparedData
from dataset.loading import name_or_place
from dataset.prepare import DataOptions
from design_space.command import CommandOptions
from design_space.options import ARGUMENT, Count, Only, Place, Positive, Switch, options
from flexibert import write_model_card
from flexibert.convert_bert import check_target
from flexibert.runtimes.runner import Runtime

from ..candidate import RESULT_FILE, describe
from ..objectives import Goals
from ..optimizer.settings import BOSHNASSettings
from ..records.run_directory import RunDirectory
from ..report import write_report
from ..training.recipe import Recipe, load_recipe
from ..training.samplers import lengths_of
from ..training.task_heads import model_class
from ..tune.cluster import ray_cluster
from ..tune.options import BudgetOptions, ClusterOptions
from ..tune.runner import LevelRun
from .comparison import Compared, compare_models, comparison_table
from .level import begin, saved
from .options import LENGTHS, GoalOptions, SearchOptions, teacher_or_place
from .roots import RootOptions
from .shrinking import ShrinkGoals, Shrunk, shrink
from .summary import keep_best, write_summary
from .teaching import ROOT


@options
class ShrinkOptions(CommandOptions):
    """Make a pre-trained encoder smaller and faster for a task: fine-tune, screen, search, distil, choose."""

    prog: ClassVar[str] = "shrink_model"
    model: Annotated[str, AfterValidator(name_or_place), ARGUMENT]
    """Pre-trained encoder: a folder or a Hub name."""
    target: Annotated[Place, ARGUMENT]
    """Folder to write the model to; must not exist."""
    wanted: ShrinkGoals = ShrinkGoals()
    runtime: Runtime = "torch"
    """What runs the models whose times are meant: torch, torch-compile, onnx or onnx-int8 (8-bit numbers)."""
    run_dir: Place | None = None
    """Where everything of the search goes, and what a stopped one goes on from; TARGET.run when not given."""
    max_hours: Positive | None = None
    """About how long all may take; levels that are left share what is left."""
    trials: Count = 2
    """Children that are trained on each level."""
    quiet: Switch = False
    """For logs: what went wrong, the result, and a line of progress every minute."""
    data: DataOptions = DataOptions()
    reading: Annotated[RootOptions, Only(("pooling", "trim_vocabulary", "screen"))] = RootOptions()
    teacher: Annotated[str, AfterValidator(teacher_or_place)] = ROOT
    """Whose outputs children learn from, beside the labels: root (the fine-tuned encoder), none, or the folder of a
    model trained for this task."""
    training: Annotated[Recipe, Only(("epochs", "batch_size", "learning_rate", *LENGTHS))] = field(
        default_factory=lambda: load_recipe("pretrained")
    )
    cluster: ClusterOptions = ClusterOptions()

    @model_validator(mode="after")
    def _check(self) -> "ShrinkOptions":
        if self.wanted == ShrinkGoals():
            raise ValueError("One or more of 'faster', 'smaller', 'latency_ms' and 'max_drop' must be given")
        return self

    def search_options(self) -> SearchOptions:
        """The same as options of a search from the encoder."""
        directory = RunDirectory(self.run_dir or self.target.with_name(f"{self.target.name}.run"))
        return SearchOptions(
            plugin=self.plugin,
            run_dir=directory.path,
            resume=directory.has_begun(),
            quiet=self.quiet,
            data=self.data,
            wanted=GoalOptions(runtime=self.runtime),
            roots=replace(self.reading, start_from=(self.model,)),
            budget=BudgetOptions(),
            cluster=self.cluster,
            settings=BOSHNASSettings(origins=("pretrained", "prune"), num_init=1),
            training=self.training,
        )


def shrink_run(options: ShrinkOptions, console: Console) -> list[Compared]:
    """Shrink, write ``options.target``, and say what came out: the encoder and the models of all levels, compared.

    Raises:
        ValueError: for options that do not fit each other, the data or the run directory, and for a goal that no part
            of the encoder can reach.
    """
    check_target(options.target)
    of_search = options.search_options()
    directory = RunDirectory(of_search.run_dir)
    with directory.locked():
        run = begin(of_search, directory, console)
        length = _usual_length(run)
        with ray_cluster(options.cluster.address):
            shrunk = shrink(
                run,
                options.wanted,
                length=length,
                num_screened=options.reading.screen,
                trials=options.trials,
                teacher=options.teacher,
                max_hours=options.max_hours,
                console=console,
            )
        return _finish(options, of_search, run, shrunk, length, console)


def _usual_length(run: LevelRun) -> int:
    """The tokens of the text that is timed: as many as half of the texts have at most, in eights."""
    data = run.data.tasks[run.data.largest_task]
    return min(8 * -(-int(np.median(lengths_of(data.split("train")))) // 8), data.max_length)


def _finish(
    options: ShrinkOptions, of_search: SearchOptions, run: LevelRun, shrunk: Shrunk, length: int, console: Console
) -> list[Compared]:
    directory, data = run.directory, run.data.tasks[run.data.largest_task]
    goals = Goals(constraints=shrunk.limits)
    limits = tuple(f"{name}={limit!r}" for name, limit in shrunk.limits.items())
    kept = saved(replace(of_search, wanted=replace(of_search.wanted, constraints=limits)))
    directory.keep(kept, directory.saved_config(with_fingerprint=True)["library_fingerprint"])
    records = list(directory.journal.trials().values())
    evaluation = keep_best(directory, run.models_dir, records, run.data, goals)
    write_summary(directory, records, evaluation, goals)
    names = {shrunk.root.trial: Path(options.model).name} | {one.trial: one.trial for one in shrunk.levels}
    folders = {
        names[record.trial]: run.models_dir / record.candidate.spec.hash for record in (shrunk.root, *shrunk.levels)
    }
    split = evaluation["split"]
    compared = compare_models(folders, data, split, length=length, threads=1, runtime=options.runtime)
    by = "" if options.runtime == "torch" else f", by {options.runtime}"
    heading = f"On {split} ({data.sizes[split]:,} rows); times are of one text of {length} tokens on one thread{by}."
    table = comparison_table(compared, data.metric)
    verdict = _verdict(compared, names[shrunk.chosen.trial], shrunk, options.wanted)
    _write(options.target, folders[names[shrunk.chosen.trial]], data, [verdict, f"{heading}\n\n{table}"])
    with directory.summary_file.open("a", encoding="utf-8") as stream:
        stream.write(f"\n{verdict}\n\n{heading}\n\n{table}")
    shutil.rmtree(directory.work_dir, ignore_errors=True)
    report = write_report(directory.path)
    for text in (heading, table, verdict, f"The model is in {options.target}; how it was found: {report}"):
        console.print(text, highlight=False, soft_wrap=True, markup=False)
    return compared


def _verdict(compared: Sequence[Compared], name: str, shrunk: Shrunk, wanted: ShrinkGoals) -> str:
    """What was reached, in a sentence, and which goals were not."""
    root, chosen = compared[0], next(one for one in compared if one.name == name)
    told_apart = "" if chosen.is_told_apart else ", and cannot be told apart from it"
    kept = f"{100 * chosen.score / root.score:.1f} %" if root.score else "all"
    reached = (
        f"{name} keeps {kept} of the score of {root.name}{told_apart}. It is "
        f"{chosen.latency.times_as_fast_as(root.latency):.1f} times as fast and "
        f"{root.parameters / chosen.parameters:.1f} times smaller: {describe(shrunk.chosen.candidate)}."
    )
    unmet = [*shrunk.unmet, *(_too_slow(root, chosen, wanted) if shrunk.limits else [])]
    return " ".join([reached, *(f"Not reached: {problem}." for problem in unmet)])


def _too_slow(root: Compared, chosen: Compared, wanted: ShrinkGoals) -> list[str]:
    """What goals on time the measurement misses that the prediction kept."""
    now, gained = chosen.latency.median_ms, chosen.latency.times_as_fast_as(root.latency)
    missed = []
    if wanted.faster is not None and gained < wanted.faster:
        missed.append(f"{wanted.faster:g} times as fast, measured at the end {gained:.2f}")
    if wanted.latency_ms is not None and now > wanted.latency_ms:
        missed.append(f"{wanted.latency_ms:g} ms, measured at the end {now:.2f}")
    return missed


def _write(target: Path, model_dir: Path, data: PreparedData, notes: Sequence[str]) -> None:
    """The model's folder as users get it, whole or not at all."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(model_dir, partial, ignore=shutil.ignore_patterns(RESULT_FILE))
    model = model_class(data).from_pretrained(partial)
    write_model_card(partial, model, title=f"{target.name}: a smaller encoder for {data.name}", notes=notes)
    partial.rename(target)
