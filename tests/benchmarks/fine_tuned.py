"""A root that is fine-tuned as the first trial of a search is, for benchmarks of what comes of it."""

import argparse
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dataset.prepare import DataOptions
from design_space import ModelSpec
from flexibert.pruning import Shrinker
from search import Candidate
from search.records.journal import TrialRecord
from search.records.run_directory import RunDirectory
from search.runs.level import begin, with_teacher
from search.runs.screening import trained_root
from search.runs.shrink_goals import ShrinkGoals
from search.runs.shrink_run import ShrinkOptions
from search.training.initial_weights import example_batches
from search.training.recipe import TrainingJob
from search.training.result import TrainingResult
from search.training.task_heads import model_class
from search.training.train import train_candidate
from search.tune.cluster import ray_cluster
from search.tune.runner import LevelRun


def add_root_arguments(parser: argparse.ArgumentParser) -> None:
    """The encoder, the task, and how it is trained."""
    parser.add_argument("encoder")
    parser.add_argument("--task", default="python_docs")
    parser.add_argument("--data_dir")
    parser.add_argument("--max_train_examples", type=int)
    parser.add_argument("--max_length", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning_rate", type=float, help="the recipe's when not given")
    parser.add_argument("--folder", type=Path, default=Path("runs/roots"))


def fine_tuned(arguments: argparse.Namespace, seed: int, console: Console) -> tuple[LevelRun, TrialRecord]:
    """The run with the root as its teacher, and the trial of the root; one that is in the folder is read."""
    folder = arguments.folder / f"{Path(arguments.task).stem}-{seed}"
    options = ShrinkOptions(
        model=arguments.encoder,
        target=folder / "unused",
        wanted=ShrinkGoals(smaller=2.0),
        run_dir=folder,
        data=DataOptions(
            task=arguments.task,
            data_dir=arguments.data_dir,
            max_length=arguments.max_length,
            max_train_examples=arguments.max_train_examples,
            seed=seed,
        ),
    )
    training = replace(options.training, epochs=arguments.epochs, max_length=arguments.max_length)
    if arguments.learning_rate is not None:
        training = replace(training, learning_rate=arguments.learning_rate)
    options = replace(options, training=training)
    with ray_cluster(None):
        run = begin(options.search_options(), RunDirectory(folder), console)
        root = trained_root(run, console)
        return with_teacher(run, "root", root, console), root


def alone(run: LevelRun, root: TrialRecord, method: str) -> LevelRun:
    """The run with folders of its own, in which only the root is trained: no method finds another's models."""
    directory = RunDirectory(run.directory.path.with_name(f"{run.directory.path.name}-{method}"))
    shutil.rmtree(directory.path, ignore_errors=True)
    name = root.candidate.spec.hash
    shutil.copytree(run.models_dir / name, directory.models_dir / name)
    shutil.copy(run.directory.journal.path, directory.journal.path)
    return replace(run, directory=directory, models_dir=directory.models_dir)


def keeps(run: LevelRun, spec: ModelSpec, limits: Mapping[str, float]) -> bool:
    """Whether an architecture costs at most so much."""
    return all(float(run.exact[name]([spec])[0]) <= limit for name, limit in limits.items())


def pruned(run: LevelRun, parent: str, limits: Mapping[str, float]) -> ModelSpec | None:
    """The architecture that is left of a trained model when the least important goes from all layers until the limits
    are kept; None where they cannot be."""
    model = model_class(run.data).from_pretrained(run.models_dir / parent).eval()
    shrinker = Shrinker(model, example_batches(run.data, model.config.model_spec, 16))
    return shrinker.largest(len(model.config.model_spec.layers), lambda spec: keeps(run, spec, limits))


def train_beside(run: LevelRun, candidate: Candidate, name: str) -> TrainingResult:
    """Trains as a trial is trained, here and with two threads, and saves the model beside the run's."""
    job = TrainingJob(
        trial=f"{name}-{candidate.spec.hash[:8]}",
        candidate=candidate,
        data_dir=str(run.data.path),
        models_dir=str(run.models_dir),
        work_dir=str(run.directory.work_dir / f"{name}-{candidate.spec.hash[:12]}"),
        recipe=run.recipe,
        seed=run.seed,
        num_threads=2,
        network=run.network,
        teacher=str(run.teacher or ""),
    )
    return train_candidate(job, report=lambda _: None)
