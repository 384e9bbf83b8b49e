"""A learning-curve table: small architectures of two spaces, trained from scratch and with inherited weights, with the
score and the seconds of every epoch.

    python -m tests.benchmarks.learning_curves FOLDER [--tasks python_docs TABLE.csv] [--spaces deep shallow]
        [--architectures 100] [--seeds 2] [--recipe RECIPE.yaml] [--table OUT.json]

It takes hours, and may be stopped at any time: called again, it goes on where it was, within a training too. Each
architecture is trained from scratch, and then from the weights of the one before it in its space. For each
training ``FOLDER/curves.jsonl`` gets a line; ``load_curves`` reads it. ``--table`` writes what is there as a table for
``python -m search.benchmark``: of each task and origin the mean score over seeds after each epoch, such as
``python_docs, scratch, 3``. What was trained so far lies in ``docs/results/learning_curves.jsonl.gz``
(``load_curves(PUBLISHED)``); the figures are no one's but ours, under the project's licence, and hold no text of a
task.
"""

import argparse
import gzip
import json
import math
import random
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product, zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from pydantic import TypeAdapter
from rich.console import Console
from transformers import PreTrainedModel, get_linear_schedule_with_warmup, set_seed
from transformers.utils import logging as transformers_logging

from dataset import PreparedData
from dataset.prepare import DataOptions
from design_space import DesignSpace, ModelSpec
from design_space.files import write_atomically
from search import Candidate, Origin
from search.training.collators import collator
from search.training.initial_weights import initial_model
from search.training.recipe import Recipe, TrainingJob, load_recipe
from search.training.task_heads import model_config

Row = dict[str, Any]
HERE = Path(__file__).parent / "curves"
PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "results" / "learning_curves.jsonl.gz"
SPACES = ("deep", "shallow")
ORIGINS = ("scratch", "transfer")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One training. Seconds are the processor's, of the whole training until each epoch's score was known, so that what
    runs beside it does not count. ``parent`` is the hash of the one inherited from."""

    space: str
    task: str
    seed: int
    origin: str
    model_dict: dict[str, Any]
    hash: str
    parent: str
    scores: list[float]
    seconds: list[float]

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        """Tells the trainings apart."""
        return self.space, self.task, self.seed, self.origin, self.hash


def load_curves(path: Path) -> list[Curve]:
    """The trainings in a file, which may be compressed; none where there is no file. A line that was cut while it was
    written is left out."""
    if not path.exists():
        return []
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
    with opened as file:
        whole, _, _ = file.read().rpartition("\n")
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
    parser.add_argument("--spaces", nargs="+", default=SPACES, help="names of files in curves/, or other files")
    parser.add_argument("--recipe", default=str(HERE / "recipe.yaml"), help="a name or a file")
    parser.add_argument("--vocab_size", type=int, default=2000)
    parser.add_argument("--max_train_examples", type=int, default=800)
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    recipe = replace(load_recipe(arguments.recipe), early_stopping=0)
    console = Console()
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    tasks = [
        DataOptions(
            task=task,
            vocab_size=arguments.vocab_size,
            max_length=recipe.max_length,
            max_train_examples=arguments.max_train_examples,
        ).prepare(arguments.folder / "data" / Path(task).stem, console)
        for task in arguments.tasks
    ]
    for seed in range(arguments.seeds):
        series = [
            trained(arguments.folder, space, specs, data, recipe, seed)
            for data, (space, specs) in product(tasks, samples(arguments.spaces, arguments.architectures))
        ]
        for curve in filter(None, chain.from_iterable(zip_longest(*series))):
            what = f"{curve.space}, {curve.task}, seed {seed}, {curve.origin}"
            console.print(f"{what}: {curve.scores[-1]:.4f} after {curve.seconds[-1]:.1f} s", highlight=False)
    if arguments.table:
        table = benchmark_table(load_curves(arguments.folder / "curves.jsonl"))
        write_atomically(arguments.table, json.dumps(table) + "\n")


def samples(spaces: Sequence[str], count: int) -> Iterator[tuple[str, list[ModelSpec]]]:
    """Architectures of each space, by its name."""
    for name in spaces:
        path = HERE / f"{name}.yaml" if name in SPACES else Path(name)
        specs = DesignSpace.from_yaml(path).level(layers_per_stack=1).sample(count, seed=0)
        yield path.stem, list({spec.hash: spec for spec in specs}.values())


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
            job = TrainingJob(
                trial="",
                candidate=Candidate(spec, Origin() if origin == "scratch" else Origin("transfer", parent)),
                data_dir=str(data.path),
                models_dir=str(models),
                work_dir="",
                recipe=recipe,
                seed=seed,
            )
            model, scores, seconds = _train(job, data)
            if origin == "scratch":
                model.save_pretrained(models / spec.hash)
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
            )
            _append(path, TypeAdapter(Curve).dump_json(curve).decode())
            yield curve
        shutil.rmtree(models / parent if parent else models / "none", ignore_errors=True)


def _train(job: TrainingJob, data: PreparedData) -> tuple[PreTrainedModel, list[float], list[float]]:
    """The trained model, and the accuracy on validation and the processor's seconds after each epoch."""
    start, recipe = time.process_time(), job.recipe
    set_seed(job.seed)
    model, _ = initial_model(job, data, model_config(job, data))
    collate, batches = collator(data, job.candidate.spec), _Batches(data, recipe.batch_size, job.seed)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    num_steps = recipe.epochs * len(batches)
    schedule = get_linear_schedule_with_warmup(optimizer, int(recipe.warmup_share * num_steps), num_steps)
    validation = [collate(rows) for rows in _parts(_by_length(data.split("validation")), 128)]
    scores, seconds = [], []
    for _ in range(recipe.epochs):
        model.train()
        for rows in batches.of_epoch():
            model(**collate(rows)).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            right = [(model(**batch).logits.argmax(-1) == batch["labels"]).float() for batch in validation]
        scores.append(round(float(torch.cat(right).mean()), 4))
        seconds.append(round(time.process_time() - start, 2))
    return model, scores, seconds


class _Batches:
    """Training rows in batches of like length, other ones in each epoch."""

    def __init__(self, data: PreparedData, size: int, seed: int) -> None:
        self._rows, self._size, self._random = list(data.split("train")), size, random.Random(seed)

    def __len__(self) -> int:
        return math.ceil(len(self._rows) / self._size)

    def of_epoch(self) -> list[list[Row]]:
        self._random.shuffle(self._rows)
        parts = _parts(_by_length(self._rows), self._size)
        self._random.shuffle(parts)
        return parts


def _by_length(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: len(row["input_ids"]))


def _parts(rows: list[Row], size: int) -> list[list[Row]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _append(path: Path, line: str) -> None:
    """Adds a line, in place of what a cut one left."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    whole, newline, _ = before.rpartition("\n")
    write_atomically(path, f"{whole}{newline}{line}\n")


if __name__ == "__main__":
    main()
