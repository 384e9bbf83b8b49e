"""Which recipe fine-tunes an encoder best: learning rates and what is pooled, over several tasks.

    python -m tests.benchmarks.root_recipes ENCODER --glue FOLDER [--tasks sst2 mrpc rte cola] [--rows 2000]

The encoder is fine-tuned as the first trial of a search is, for each task, learning rate and pooling. Validation scores
in percent, and their mean over the tasks.
"""

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dataset.glue import GLUE
from dataset.prepare import DataOptions
from search import Candidate, Origin
from search.runs.roots import RootOptions, prepare_roots, with_tokenizer
from search.training.recipe import TrainingJob, load_recipe
from search.training.train import train_candidate

POOLINGS = ("cls", "mean")


def main() -> None:
    """Read the arguments, train, and print a line for each training and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoder")
    parser.add_argument("--glue", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=["sst2", "mrpc", "rte", "cola"])
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-5, 1e-4, 2e-4])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2, help="1 on a machine that does other things too")
    parser.add_argument("--folder", type=Path, default=Path("runs/root-recipes"))
    arguments = parser.parse_args()
    scores = {
        (pooling, rate): [100 * _score(arguments, task, pooling, rate) for task in arguments.tasks]
        for pooling in POOLINGS
        for rate in arguments.rates
    }
    print(f"| pooling | learning rate | {' | '.join(arguments.tasks)} | mean |")
    print("| --- " * (len(arguments.tasks) + 3) + "|")
    for (pooling, rate), of_tasks in scores.items():
        cells = [f"{score:.1f}" for score in (*of_tasks, statistics.mean(of_tasks))]
        print(f"| {pooling} | {rate:g} | {' | '.join(cells)} |")


def _score(arguments: argparse.Namespace, task: str, pooling: str, rate: float) -> float:
    folder = arguments.folder / f"{task}-{pooling}"
    options = DataOptions(task=task, data_dir=arguments.glue / GLUE[task].folder, max_train_examples=arguments.rows)
    roots = prepare_roots(
        RootOptions(start_from=(arguments.encoder,), pooling=pooling), options, folder / "roots", Console(quiet=True)
    )
    data = with_tokenizer(options, roots).prepare(folder / "data", Console(quiet=True))
    [(name, spec)] = roots.specs.items()
    job = TrainingJob(
        trial=f"{rate:g}",
        candidate=Candidate(spec, Origin("pretrained", model=name)),
        data_dir=str(data.path),
        models_dir=str(folder / f"models-{rate:g}"),
        work_dir=str(folder / f"work-{rate:g}"),
        recipe=replace(load_recipe("pretrained"), learning_rate=rate),
        seed=0,
        num_threads=arguments.threads,
        network=roots.network,
        roots={name: str(roots.folders[name])},
    )
    result = train_candidate(job, report=lambda _: None)
    print(f"{task} {pooling} {rate:g}: {result.score:.4f} in {result.cost_s:.0f} s", flush=True)
    return result.score


if __name__ == "__main__":
    main()
