"""A learning-curve table: small architectures of two spaces, trained from scratch and with inherited weights, with the
score and the seconds of every epoch.

    python -m tests.benchmarks.learning_curves FOLDER [--tasks python_docs TABLE.csv] [--architectures 100]
        [--seeds 2] [--epochs 8] [--table OUT.json]

It takes hours, and may be stopped at any time: called again, it goes on where it was, within a training too. Each
architecture is trained from scratch, and then from the weights of the one before it in its space. For each
training ``FOLDER/curves.jsonl`` gets a line; ``load_curves`` reads it. ``--table`` writes what is there as a table for
``python -m search.benchmark``: of each task and origin the mean score over seeds after each epoch, such as
``python_docs, scratch, 3``. The figures are no one's but ours, under the project's licence.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console

import design_space
from dataset import PreparedData
from dataset.prepare import DataOptions
from design_space import DesignSpace, ModelSpec
from design_space.files import write_atomically
from search import Candidate, Origin
from search.training.recipe import Recipe, TrainingJob, load_recipe
from search.training.train import train_candidate

SPACES = ("quickstart", "design_space_small")
ORIGINS = ("scratch", "transfer")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One training. Seconds are those of the whole training until each epoch's score was known, pre-training among
    them; ``score_error`` is the standard error of the best score, and ``parent`` the hash of the one inherited from."""

    space: str
    task: str
    seed: int
    origin: str
    model_dict: dict[str, Any]
    hash: str
    parent: str
    scores: list[float]
    seconds: list[float]
    score_error: float

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        """Tells the trainings apart."""
        return self.space, self.task, self.seed, self.origin, self.hash


def load_curves(path: Path) -> list[Curve]:
    """The trainings in a file; none where there is no file. A line that was cut while it was written is left out."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [TypeAdapter(Curve).validate_json(line) for line in whole.splitlines()]


def benchmark_table(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """A table for ``python -m search.benchmark``, with the mean over the seeds of each score."""
    found: dict[str, dict[str, list[float]]] = {}
    specs = {curve.hash: curve.model_dict for curve in curves}
    for curve in curves:
        of_one = found.setdefault(curve.hash, {})
        for epoch, score in enumerate(curve.scores, start=1):
            of_one.setdefault(f"{curve.task}, {curve.origin}, {epoch}", []).append(score)
    return [
        {"model_dict": specs[one], "scores": {name: fmean(values) for name, values in scores.items()}}
        for one, scores in found.items()
    ]


def main() -> None:
    """Read the arguments, train what is not there yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", nargs="+", default=["python_docs"], help="names, or files of examples")
    parser.add_argument("--architectures", type=int, default=100, help="of each space")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--pretrain_steps", type=int, default=120)
    parser.add_argument("--max_train_examples", type=int)
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    recipe = replace(
        load_recipe("cpu"), epochs=arguments.epochs, pretrain_steps=arguments.pretrain_steps, early_stopping=0
    )
    console = Console()
    for task in arguments.tasks:
        options = DataOptions(task=task, vocab_size=4000, max_train_examples=arguments.max_train_examples)
        data = options.prepare(arguments.folder / "data" / Path(task).stem, console)
        for seed, space in product(range(arguments.seeds), SPACES):
            level = DesignSpace.from_yaml(Path(design_space.__file__).parent / f"{space}.yaml").level(
                layers_per_stack=2
            )
            specs = list({spec.hash: spec for spec in level.sample(arguments.architectures, seed=0)}.values())
            for curve in trained(arguments.folder, space, specs, data, recipe, seed):
                console.print(
                    f"{space}, {data.name}, seed {seed}, {curve.origin}: {curve.scores[-1]:.4f}", highlight=False
                )
    if arguments.table:
        table = benchmark_table(load_curves(arguments.folder / "curves.jsonl"))
        write_atomically(arguments.table, json.dumps(table) + "\n")


def trained(
    folder: Path, space: str, specs: Sequence[ModelSpec], data: PreparedData, recipe: Recipe, seed: int
) -> Iterator[Curve]:
    """Train what is not in the file, and yield each as soon as it is there. Of the models those stay that are still to
    be inherited from."""
    path = folder / "curves.jsonl"
    there = {curve.key for curve in load_curves(path)}
    models = folder / "models" / f"{space}-{data.name}-{seed}"
    for place, spec in enumerate(specs):
        parent = specs[place - 1].hash if place else ""
        for origin in ORIGINS[: 2 if parent else 1]:
            if (space, data.name, seed, origin, spec.hash) in there:
                continue
            candidate = Candidate(spec, Origin() if origin == "scratch" else Origin("transfer", parent))
            scores, seconds, error = _train(models, origin, candidate, data, recipe, seed)
            curve = Curve(
                space=space,
                task=data.name,
                seed=seed,
                origin=origin,
                model_dict=spec.to_dict(),
                hash=spec.hash,
                parent="" if origin == "scratch" else parent,
                scores=scores,
                seconds=seconds,
                score_error=error,
            )
            _append(path, TypeAdapter(Curve).dump_json(curve).decode())
            yield curve
        if parent:
            shutil.rmtree(models / "transfer" / spec.hash, ignore_errors=True)
            shutil.rmtree(models / "scratch" / parent, ignore_errors=True)


def _train(
    models: Path, origin: str, candidate: Candidate, data: PreparedData, recipe: Recipe, seed: int
) -> tuple[list[float], list[float], float]:
    """The score and the seconds after each epoch, and the standard error of the best one."""
    name = f"{origin}-{candidate.spec.hash}"
    work, known = models / "work" / name, models / f"{name}.json"
    for parent in candidate.origin.parents:
        shutil.copytree(models / "scratch" / parent, models / origin / parent, dirs_exist_ok=True)
    epochs: dict[str, tuple[float, float]] = json.loads(known.read_text()) if known.exists() else {}

    def note(figures: dict[str, Any]) -> None:
        """The first score of each epoch: the best epoch is measured again at the end."""
        if "validation_score" in figures:
            score_and_seconds = figures["validation_score"], float((work / "seconds").read_text())
            epochs.setdefault(str(round(figures["epoch"])), score_and_seconds)
            write_atomically(known, json.dumps(epochs))

    job = TrainingJob(
        trial=name,
        candidate=candidate,
        data_dir=str(data.path),
        models_dir=str(models / origin),
        work_dir=str(work),
        recipe=recipe,
        seed=seed,
    )
    result = train_candidate(job, report=note)
    for parent in candidate.origin.parents:
        shutil.rmtree(models / origin / parent)
    known.unlink()
    scores, seconds = zip(*(epochs[str(epoch)] for epoch in range(1, recipe.epochs + 1)), strict=True)
    return list(scores), list(seconds), result.objectives["score_error"]


def _append(path: Path, line: str) -> None:
    """Adds a line, in place of what a cut one left."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    whole, newline, _ = before.rpartition("\n")
    write_atomically(path, f"{whole}{newline}{line}\n")


if __name__ == "__main__":
    main()
