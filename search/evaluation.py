"""What known architectures reach under a recipe.

``python -m search.evaluation --task glue --data_dir FOLDER --baseline bert-mini --recipe cpu --seeds 3`` trains
baselines as a search trains its candidates, prints a table, and writes it, the figures of each run and answers to
unlabelled test rows to ``--output_dir``. ``torchrun --nproc_per_node 2 -m search.evaluation ...`` and ``accelerate
launch`` do so in several processes.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from rich.console import Console

from dataset import PreparedData
from dataset.glue import GLUE
from dataset.prepare import DataOptions
from dataset.submission import write_submission
from design_space import ModelSpec
from design_space.command import CommandOptions, given_options, run_command
from design_space.files import write_atomically
from design_space.options import Count, OneOf, Place, Switch, options, validated

from .baselines import BASELINES, baseline_spec
from .candidate import Candidate, Origin
from .training.distributed import first_process_first, is_first, together
from .training.evaluate import predict
from .training.recipe import Recipe, TrainingJob, load_recipe
from .training.result import TrainingResult
from .training.train import train_candidate


def train_baseline(
    name: str,
    spec: ModelSpec,
    data: PreparedData,
    recipe: Recipe,
    folder: Path,
    *,
    seed: int,
    num_threads: int | None = None,
) -> TrainingResult:
    """Train an architecture from scratch as a search trains a candidate, to ``folder/models``; one that was is read."""
    job = TrainingJob(
        trial=name,
        candidate=Candidate(spec, Origin(), proposed_by="baseline"),
        data_dir=str(data.path),
        models_dir=str(folder / "models"),
        work_dir=str(folder / "work" / f"{name}-{spec.hash[:12]}"),
        recipe=recipe,
        seed=seed,
        num_threads=num_threads or torch.get_num_threads(),
    )
    return train_candidate(job, report=lambda figures: None)


def compare_baselines(
    specs: Mapping[str, ModelSpec],
    data: PreparedData,
    recipe: Recipe,
    folder: Path,
    console: Console,
    *,
    seed: int,
    num_threads: int,
) -> None:
    """What a search can be compared with: train architectures under its recipe, print their scores, and write them by
    name to ``baselines.json`` in ``folder``."""
    results = {}
    for name, spec in specs.items():
        with console.status(f"training the baseline {name}"):
            result = train_baseline(name, spec, data, recipe, folder, seed=seed, num_threads=num_threads)
        results[name] = dataclasses.asdict(result)
        console.print(
            f"Baseline {name}: {data.metric} on validation {result.score:.4f}, "
            f"{result.objectives['parameters']:,.0f} parameters",
            highlight=False,
        )
    if results:
        write_atomically(folder / "baselines.json", json.dumps(results, indent=2))


@options
class EvaluationOptions(CommandOptions):
    """Train known architectures under a recipe, and compare them."""

    prog: ClassVar[str] = "python -m search.evaluation"
    output_dir: Place = Path("runs/baselines")
    """Where everything goes; what is there is used."""
    baseline: tuple[Annotated[str, OneOf(BASELINES)], ...] = ("bert-mini",)
    """Architectures to train."""
    recipe: str = "cpu"
    """How they are trained: original, cpu, single-gpu, or a YAML file."""
    seeds: Count = 1
    """Runs of each, with seeds from --seed on."""
    and_without_pretraining: Switch = False
    """Train each also from random weights."""
    data: DataOptions = DataOptions()


def compare(arguments: Sequence[str] | None = None) -> None:
    """Read the options, train every baseline with every seed, and write the table."""
    given = given_options(EvaluationOptions, arguments)
    recipe = load_recipe(given.get("recipe", EvaluationOptions.recipe))
    lengths = {"max_length": recipe.max_length, "pretrain_length": recipe.pretrain_length}
    options = validated(EvaluationOptions, lengths | given)
    console, folder = Console(quiet=not is_first()), options.output_dir
    with together():
        with first_process_first():
            data = options.data.prepare(folder / "data", console)
        console.print(data.describe(), highlight=False, soft_wrap=True)
        _compare(options, recipe, data, folder, console)


def _compare(options: EvaluationOptions, recipe: Recipe, data: PreparedData, folder: Path, console: Console) -> None:
    rows: dict[str, list[dict[str, Any]]] = {}
    kinds = {"": recipe, **({" without pre-training": _without(recipe)} if options.and_without_pretraining else {})}
    for seed in range(options.data.seed, options.data.seed + options.seeds):
        for name in options.baseline:
            for kind, of_kind in kinds.items():
                place = folder / f"{f'{name}{kind}'.replace(' ', '-')}-seed-{seed}"
                with console.status(f"{name}{kind}, seed {seed}"):
                    result = train_baseline(name, baseline_spec(name), data, of_kind, place, seed=seed)
                if is_first():
                    _answer(place / "models" / baseline_spec(name).hash, data, place / "submission")
                run = {"seed": seed, "score": result.score, "cost_s": result.cost_s}
                rows.setdefault(f"{name}{kind}", []).append(run | result.objectives | result.figures)
                console.print(f"{name}{kind}, seed {seed}: {data.metric} {result.score:.4f}", highlight=False)
    if not is_first():
        return
    table = _table(rows, data)
    write_atomically(folder / "results.json", json.dumps(rows, indent=2))
    write_atomically(folder / "results.md", table)
    console.print(table, highlight=False, soft_wrap=True, markup=False)


def _without(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, pretrain_steps=0)


def _answer(model_dir: Path, data: PreparedData, folder: Path) -> None:
    """Answers for GLUE's board, of the tasks whose unlabelled rows are there."""
    for task in data.tasks:
        if "test" in task.unlabelled and task.name in GLUE:
            of_task = model_dir / task.name if data.task_names else model_dir
            write_submission(task, predict(of_task, task, "test"), folder)


def _table(rows: dict[str, list[dict[str, Any]]], data: PreparedData) -> str:
    """Means and standard deviations over seeds, in Markdown; scores times 100, seconds and perplexity as they are."""
    scores = [f"{task.name}_{task.metric}" for task in data.tasks] if data.task_names else []
    columns = {
        **{name: (name, 100.0) for name in (*scores, data.metric)},
        "perplexity": ("pretrain_perplexity", 1.0),
        "seconds": ("cost_s", 1.0),
        "training, tokens/s": ("pretrain_train_tokens_per_s", 1.0),
        "input, tokens/s": ("pretrain_input_tokens_per_s", 1.0),
        "padding, %": ("finetune_padding_share", 100.0),
    }
    lines = [f"| {' | '.join(['model', *columns])} |", "| --- " * (len(columns) + 1) + "|"]
    for name, runs in rows.items():
        cells = []
        for key, scale in columns.values():
            values = [scale * run[key] for run in runs if key in run]
            spread = f" ± {np.std(values, ddof=1):,.1f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):,.1f}{spread}" if values else "-")
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Entry point of ``python -m search.evaluation``."""
    run_command(compare)


if __name__ == "__main__":
    main()
