"""Whether what children of an encoder score before training tells what they score after it.

    python -m tests.benchmarks.screening ENCODER [--task python_docs] [--count 200] [--trained 24]

Screens children of the fine-tuned encoder at all sizes, trains some that are spread over the scores of each size, and
prints each, how long screening took, and Kendall's tau with the trained score: of the screened score, and of the number
of parameters. Screened scores are on validation, trained ones on the test split where there is one.
"""

import argparse
import json
import time
from pathlib import Path

from rich.console import Console
from scipy.stats import kendalltau

from search import Candidate, Origin
from search.runs.screening import screened_children, sizes
from search.training.evaluate import evaluate
from search.tune.cluster import ray_cluster
from tests.benchmarks.fine_tuned import add_root_arguments, fine_tuned, train_beside


def main() -> None:
    """Read the arguments, screen, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_root_arguments(parser)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--trained", type=int, default=24)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    run, root = fine_tuned(arguments, 0, console := Console())
    parent = root.candidate.spec
    known = len(_lines(run.directory.path / "screened" / "1.jsonl"))
    begun_s = time.monotonic()
    with ray_cluster(None):
        screened = screened_children(run, root, sizes(run), count=arguments.count, number=1, console=console)
    print(f"screened {len(screened) - 1 - known} children in {time.monotonic() - begun_s:.0f} s", flush=True)
    del screened[parent]
    split = "test" if "test" in run.data.sizes else "validation"
    rows = []
    # Of all in the order of their parameters every so manyth, so that all sizes are there.
    by_size = sorted(screened, key=lambda spec: float(run.exact["parameters"]([spec])[0]))
    for number in range(arguments.trained):
        spec = by_size[number * (len(by_size) - 1) // max(1, arguments.trained - 1)]
        parameters = float(run.exact["parameters"]([spec])[0])
        result = train_beside(run, Candidate(spec, Origin("prune", parent.hash, density=0.5)), "screened")
        score = evaluate(run.models_dir / spec.hash, run.data, split)[run.data.metric]
        rows.append({"hash": spec.hash, "parameters": parameters, "screened": screened[spec], "trained": score})
        print(f"{parameters / 1e6:.1f} M: {screened[spec]:.4f}, {score:.4f} ({result.cost_s:.0f} s)", flush=True)
    trained = [row["trained"] for row in rows]
    for column in ("screened", "parameters"):
        tau = kendalltau([row[column] for row in rows], trained).statistic
        print(f"Kendall's tau of {column} with the score on {split} after training: {tau:.2f}", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
