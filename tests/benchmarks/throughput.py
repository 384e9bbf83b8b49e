"""Tokens per second of making batches alone and of training BERT-mini on them, and the share of padding, per recipe.

    python -m tests.benchmarks.throughput [--steps 1] [--rows 1024] [--work_dir DIR]

Pre-training on the embedded corpus, fine-tuning on the embedded task, by the code that trains candidates, for a few
steps. A ratio below 10 ends with an error.
"""

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

import torch
from rich.console import Console

from dataset.prepare import DataOptions
from search.baselines import baseline_spec
from search.evaluation import train_baseline
from search.training.recipe import RECIPES, load_recipe

_LEAST = 10.0


def main(arguments: list[str] | None = None) -> None:
    """Print one row per recipe and phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1, help="of pre-training")
    parser.add_argument("--rows", type=int, default=1024, help="of fine-tuning, one epoch")
    parser.add_argument("--baseline", default="bert-mini")
    usual = RECIPES if torch.cuda.is_available() else [name for name in RECIPES if name != "single-gpu"]
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(usual))
    parser.add_argument("--work_dir", type=Path)
    options = parser.parse_args([] if arguments is None else arguments)
    ratios = []
    print("| recipe | phase | input, tokens/s | training, tokens/s | ratio | padding, % |\n|" + " --- |" * 6)
    with tempfile.TemporaryDirectory() as folder:
        work = options.work_dir or Path(folder)
        for name in options.recipes:
            recipe = dataclasses.replace(load_recipe(name), pretrain_steps=options.steps, epochs=1, early_stopping=0)
            data = DataOptions(
                max_length=recipe.max_length,
                pretrain_length=recipe.pretrain_length,
                max_train_examples=options.rows,
            ).prepare(work / name / "data", Console(quiet=True))
            result = train_baseline(
                name, baseline_spec(options.baseline), data, recipe, work / name, seed=0, num_threads=1
            )
            for phase in ("pretrain", "finetune"):
                made, trained = (result.figures[f"{phase}_{kind}_tokens_per_s"] for kind in ("input", "train"))
                ratios.append(made / trained)
                padding = result.figures[f"{phase}_padding_share"]
                print(
                    f"| {name} | {phase} | {made:,.0f} | {trained:,.0f} | {ratios[-1]:,.0f} | {100 * padding:.1f} |",
                    flush=True,
                )
    if min(ratios) < _LEAST:
        sys.exit(f"Batches are made only {min(ratios):.1f} times as fast as they are trained on")


if __name__ == "__main__":
    main(sys.argv[1:])
