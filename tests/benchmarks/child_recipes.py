"""How children of an encoder are trained best: learning rates, with the encoder as teacher and without.

    python -m tests.benchmarks.child_recipes ENCODER [--task python_docs] [--weights 0 0.5] [--rates 1e-4]
        [--lengths 2 8] [--seeds 3] [--steps]

The fine-tuned encoder is pruned in one shot to shares of its linear weights, with ``--steps`` each share from the child
of the share before, and each child is trained for several numbers of epochs, at several learning rates and weights of
the teacher in the loss; 0 is without it. Scores are those of the test split, or of validation, and in brackets seconds
of a training.
"""

import argparse
import itertools
import shutil
import statistics
from dataclasses import replace

from rich.console import Console

from flexibert.pruning import linear_weights
from search import Candidate, Origin
from search.training.evaluate import evaluate
from tests.benchmarks.fine_tuned import add_root_arguments, alone, fine_tuned, pruned, train_beside


def main() -> None:
    """Read the arguments, train, and print a line for each training and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_root_arguments(parser)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.5, 0.8, 1.0])
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-5, 1e-4, 2e-4])
    parser.add_argument("--lengths", type=int, nargs="+", help="epochs of children; the encoder's when not given")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--shares", type=float, nargs="+", default=[1 / 4, 1 / 16])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    run, root = fine_tuned(arguments, 0, Console())
    parent, split = root.candidate.spec, "test" if "test" in run.data.sizes else "validation"
    whole, linear = float(run.exact["parameters"]([parent])[0]), linear_weights(parent, run.config)
    epochs = arguments.lengths or [arguments.epochs]
    recipes = list(itertools.product(arguments.weights, arguments.rates, epochs))
    print(f"| share | {' | '.join(', '.join(f'{part:g}' for part in recipe) for recipe in recipes)} |", flush=True)
    chain, above = alone(run, root, "chain"), parent.hash
    for share in arguments.shares:
        spec = pruned(chain, above, {"parameters": whole - (1 - share) * linear})
        assert spec is not None
        child, cells = Candidate(spec, Origin("prune", above, density=share)), []
        for weight, rate, length in recipes:
            scores, seconds = [], []
            for seed in range(arguments.seeds):
                own = replace(
                    alone(run, root, f"child-{weight:g}-{rate:g}-{length}-{seed}"),
                    seed=seed,
                    recipe=replace(run.recipe, distillation_weight=weight, learning_rate=rate, epochs=length),
                    teacher=run.teacher if weight else None,
                )
                shutil.copytree(chain.models_dir / above, own.models_dir / above, dirs_exist_ok=True)
                trained = train_beside(own, child, "child")
                scores.append(100 * evaluate(own.models_dir / spec.hash, run.data, split)[run.data.metric])
                seconds.append(trained.cost_s)
            cells.append(f"{statistics.mean(scores):.1f} ({statistics.median(seconds):.0f} s)")
        print(f"| {share:g} | {' | '.join(cells)} |", flush=True)
        if arguments.steps:
            train_beside(chain, child, "chain")
            above = spec.hash


if __name__ == "__main__":
    main()
