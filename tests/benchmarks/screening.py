"""Where an encoder is best cut, and whether what its children score before training tells what they score after it.

    python -m tests.benchmarks.screening ENCODER [--task python_docs] [--shares 0.25 0.125] [--each 8]

For each share of the fine-tuned encoder's linear weights the child of every number of layers is made that importance
suggests, and mutations of these up to ``--each``. All are scored without training, by several criteria, and then
trained. Prints a line for each child with its predicted time, then Kendall's tau of each criterion with the trained
score on the test split, or on validation: over all children, and within each share.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from scipy.stats import kendalltau

from dataset import PreparedData
from design_space import ModelSpec, Subarchitectures
from flexibert.pruning import Shrinker, linear_weights
from search import Candidate, Origin
from search.runs.timing import timed
from search.training.evaluate import evaluate, outputs_on
from search.training.initial_weights import example_batches
from search.training.task_heads import model_class
from search.tune.runner import LevelRun
from tests.benchmarks.fine_tuned import add_root_arguments, alone, fine_tuned, keeps, train_beside

ROWS, EXAMPLES, SEED = 512, 16, 0


def main() -> None:
    """Read the arguments, screen, train, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_root_arguments(parser)
    parser.add_argument("--shares", type=float, nargs="+", default=[1 / 4, 1 / 8, 1 / 16])
    parser.add_argument("--each", type=int, default=8)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    run, root = fine_tuned(arguments, SEED, Console())
    run = timed(run, arguments.max_length)
    own, parent = alone(run, root, "screened"), root.candidate.spec
    model = model_class(run.data).from_pretrained(run.models_dir / parent.hash).eval()
    shrinker = Shrinker(model, example_batches(run.data, parent, EXAMPLES))
    split = "test" if "test" in run.data.sizes else "validation"
    rows: list[dict[str, float]] = []
    for share in arguments.shares:
        for spec in _children(run, shrinker, share, arguments.each):
            row = {"share": share, **_criteria(run, model, shrinker.child(spec), spec)}
            train_beside(own, Candidate(spec, Origin("prune", parent.hash, density=share)), "screened")
            row["trained"] = evaluate(own.models_dir / spec.hash, run.data, split)[run.data.metric]
            rows.append(row)
            print(", ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    for name in [name for name in rows[0] if name not in ("share", "trained")]:
        within = [_tau([row for row in rows if row["share"] == share], name) for share in arguments.shares]
        print(f"{name}: {_tau(rows, name):.2f}, within shares {', '.join(f'{tau:.2f}' for tau in within)}", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1))


def _children(run: LevelRun, shrinker: Shrinker, share: float, count: int) -> Iterator[ModelSpec]:
    """Those of every number of layers, then mutations of these that keep the share and need most of it."""
    parent = shrinker.spec
    whole, linear = float(run.exact["parameters"]([parent])[0]), linear_weights(parent, run.config)
    limit = {"parameters": whole - (1 - share) * linear}
    found = (
        shrinker.largest(depth, lambda spec: keeps(run, spec, limit)) for depth in range(len(parent.layers), 0, -1)
    )
    guided = [spec for spec in dict.fromkeys(found) if spec is not None]
    yield from guided
    rng, space, seen = np.random.default_rng(SEED), Subarchitectures(parent), set(guided)
    while len(seen) < count:
        spec = guided[int(rng.integers(len(guided)))]
        for _ in range(int(rng.integers(1, 4))):
            spec = space.mutated(spec, rng)
        used = float(run.exact["parameters"]([spec])[0]) - whole + linear
        if spec not in seen and 0.8 * share * linear <= used <= share * linear:
            seen.add(spec)
            yield spec


def _criteria(run: LevelRun, root: Any, child: Any, spec: ModelSpec) -> dict[str, float]:
    """What is known of a child before it is trained."""
    data: PreparedData = run.data
    found = {
        "layers": float(len(spec.layers)),
        "parameters": float(run.exact["parameters"]([spec])[0]),
        "milliseconds": float(run.exact["latency_ms"]([spec])[0]),
    }
    for split in ("validation", "train"):
        rows = data.split(split)
        rows = rows.select(range(min(len(rows), ROWS)))
        outputs = outputs_on(rows, child, data)
        found[split] = data.measure(outputs, split)[data.metric]
        of_root = outputs_on(rows, root, data)
        found[f"agreement on {split}"] = float(np.mean(outputs.argmax(-1) == of_root.argmax(-1)))
    return found


def _tau(rows: list[dict[str, float]], name: str) -> float:
    return float(kendalltau([row[name] for row in rows], [row["trained"] for row in rows]).statistic)


if __name__ == "__main__":
    main()
