"""One run of ``shrink_model``, from its options to the folder of the model, the table and the report."""

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import field, fields, replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, model_validator
from rich.console import Console

from dataset import PreparedData
from dataset.loading import name_or_place
from dataset.prepare import DataOptions
from design_space.command import CommandOptions
from design_space.files import write_atomically
from design_space.options import ARGUMENT, Count, Only, Place, Positive, Switch, as_flags, as_values, options
from flexibert import write_model_card
from flexibert.convert_bert import check_target
from flexibert.runtimes.runner import Runtime

from ..candidate import RESULT_FILE, describe
from ..comparison.models import Compared, usual_length
from ..objectives import Goals
from ..optimizer.settings import BOSHNASSettings
from ..records.comparison_file import Kind
from ..records.run_directory import RunDirectory
from ..report import write_report
from ..tracking.destinations import Destination
from ..tracking.follow import followed
from ..training.recipe import Recipe, load_recipe
from ..training.task_heads import model_class
from ..tune.cluster import ray_cluster
from ..tune.options import BudgetOptions, ClusterOptions
from ..tune.runner import LevelRun
from .held_out import compare_at_the_end
from .level import begin, saved
from .options import LENGTHS, GoalOptions, SearchOptions, teacher_or_place
from .roots import RootOptions
from .shrink_goals import ShrinkGoals
from .shrinking import Shrunk, shrink
from .summary import add_to_summary, keep_best, write_summary
from .teaching import ROOT

_OF_RECIPE = ("epochs", "batch_size", "learning_rate")


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
    trials: Count = 1
    """Children that are trained on each level."""
    quiet: Switch = False
    """For logs: what went wrong, the result, and a line of progress every minute."""
    track: tuple[Destination, ...] = ()
    """Trackers that are told of every trial: mlflow[:URI], tensorboard:DIR, wandb[:PROJECT]."""
    data: DataOptions = DataOptions()
    reading: Annotated[RootOptions, Only(("pooling", "trim_vocabulary", "screen"))] = RootOptions(screen=8)
    teacher: Annotated[str, AfterValidator(teacher_or_place)] = ROOT
    """Whose outputs children learn from, beside the labels: root (the fine-tuned encoder), none, or the folder of a
    model trained for this task."""
    training: Annotated[Recipe, Only((*_OF_RECIPE, *LENGTHS))] = field(
        default_factory=lambda: load_recipe("pretrained")
    )
    cluster: ClusterOptions = ClusterOptions()

    @model_validator(mode="after")
    def _check(self) -> "ShrinkOptions":
        if self.wanted == ShrinkGoals():
            raise ValueError("One or more of 'faster', 'smaller', 'latency_ms' and 'max_drop' must be given")
        return self

    def command(self) -> str:
        """The command line that says the same."""
        goal = ShrinkGoals(max_drop=1)
        plain = as_values(ShrinkOptions(model=self.model, target=self.target, quiet=self.quiet, wanted=goal))
        goals = {key.name for key in fields(ShrinkGoals)}
        changed = {name: value for name, value in as_values(self).items() if name in goals or value != plain[name]}
        return shlex.join(["shrink_model", self.model, str(self.target), *as_flags(changed)])

    def search_options(self) -> SearchOptions:
        """The same as options of a search from the encoder."""
        directory = RunDirectory(self.run_dir or self.target.with_name(f"{self.target.name}.run"))
        return SearchOptions(
            plugin=self.plugin,
            run_dir=directory.path,
            resume=directory.has_begun(),
            quiet=self.quiet,
            track=self.track,
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
        ValueError: for options that do not fit each other, the data or the run directory, for a goal that no part of
            the encoder can reach, and when no training of a level succeeds.
    """
    check_target(options.target)
    of_search = options.search_options()
    directory = RunDirectory(of_search.run_dir)
    with directory.locked(), followed(directory, options.track, console):
        _check_recipe(of_search, directory)
        run = begin(of_search, directory, console)
        write_atomically(directory.command_file, options.command())
        length = usual_length(run.data.tasks[run.data.largest_task])
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


def _check_recipe(of_search: SearchOptions, directory: RunDirectory) -> None:
    """A check that what is trained from here on is trained as the models that are there."""
    if not directory.exists() or not directory.journal.trials():
        return
    before, now = directory.saved_config(), saved(of_search)
    changed = [name for name in _OF_RECIPE if name in before and before[name] != now[name]]
    if changed:
        there = ", ".join(f"'{name}' {before[name]}" for name in changed)
        raise ValueError(
            f"The models in {directory.path} were trained with {there}. Give the same, or another --run_dir"
        )


def _finish(
    options: ShrinkOptions, of_search: SearchOptions, run: LevelRun, shrunk: Shrunk, length: int, console: Console
) -> list[Compared]:
    directory, data = run.directory, run.data.tasks[run.data.largest_task]
    goals = Goals(constraints=shrunk.limits)
    limits = tuple(f"{name}={limit!r}" for name, limit in shrunk.limits.items())
    kept = saved(replace(of_search, wanted=replace(of_search.wanted, constraints=limits)))
    directory.keep(kept, directory.saved_config(with_fingerprint=True)["library_fingerprint"])
    records = list(directory.journal.trials().values())
    evaluation = keep_best(directory, run.models_dir, records, run.data, goals, best=shrunk.chosen)
    write_summary(directory, records, evaluation, goals)
    assert run.roots is not None
    names = {shrunk.root.trial: run.roots.title} | {one.trial: one.trial for one in shrunk.levels}
    folders = {
        names[record.trial]: run.models_dir / record.candidate.spec.hash for record in (shrunk.root, *shrunk.levels)
    }
    split = evaluation["split"]
    kinds: dict[str, tuple[Kind, str | None]] = {names[one.trial]: ("level", one.trial) for one in shrunk.levels}
    kinds |= {names[shrunk.root.trial]: ("encoder", shrunk.root.trial)}
    if shrunk.chosen is not shrunk.root:
        kinds |= {names[shrunk.chosen.trial]: ("best", shrunk.chosen.trial)}
    chosen = names[shrunk.chosen.trial]

    def unmet(compared: Sequence[Compared]) -> list[str]:
        return _unmet(compared, chosen, shrunk, options.wanted)

    compared, table = compare_at_the_end(
        directory, folders, kinds, run, split, length=length, console=console, unmet=unmet
    )
    verdict = _verdict(compared, chosen, describe(shrunk.chosen.candidate), unmet(compared))
    _write(options.target, folders[chosen], data, [verdict, table])
    add_to_summary(directory, f"{verdict}\n\n{table}")
    shutil.rmtree(directory.work_dir, ignore_errors=True)
    report = write_report(directory.path)
    for text in (table, verdict, f"The model is in {options.target}; how it was found: {report}"):
        console.print(text, highlight=False, soft_wrap=True, markup=False)
    return compared


def _verdict(compared: Sequence[Compared], name: str, architecture: str, unmet: Sequence[str]) -> str:
    """What was reached, in a sentence, and which goals were not."""
    root, chosen = compared[0], next(one for one in compared if one.name == name)
    assert root.latency is not None
    assert chosen.latency is not None
    told_apart = "" if chosen.is_told_apart else ", and cannot be told apart from it"
    kept = f"{100 * chosen.score / root.score:.1f} %" if root.score else "all"
    reached = (
        f"{name} keeps {kept} of the score of {root.name}{told_apart}. It is "
        f"{chosen.latency.times_as_fast_as(root.latency):.1f} times as fast and "
        f"{root.parameters / chosen.parameters:.1f} times smaller: {architecture}."
    )
    return " ".join([reached, *(f"Not reached: {problem}." for problem in unmet)])


def _unmet(compared: Sequence[Compared], name: str, shrunk: Shrunk, wanted: ShrinkGoals) -> list[str]:
    """Which goals were missed; of time also those that the measurement misses and the prediction kept."""
    root, chosen = compared[0].latency, next(one.latency for one in compared if one.name == name)
    assert root is not None
    assert chosen is not None
    now, gained, missed = chosen.median_ms, chosen.times_as_fast_as(root), list(shrunk.unmet)
    if shrunk.limits and wanted.faster is not None and gained < wanted.faster:
        missed.append(f"{wanted.faster:g} times as fast, measured at the end {gained:.2f}")
    if shrunk.limits and wanted.latency_ms is not None and now > wanted.latency_ms:
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
