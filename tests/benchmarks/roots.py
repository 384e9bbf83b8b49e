"""What a fine-tuned encoder keeps at a half to a sixteenth of its weights: by the search, and by controls.

    python -m tests.benchmarks.roots ENCODER --task python_docs [--methods search steps] [--seeds 3] [--out FILE.json]

All methods start from the same fine-tuned root, train by the same recipe with the root as teacher, and stop at shares
of the encoder's linear weights of 1/2, 1/4, 1/8 and 1/16. ``search``: screening and BOSHNAS, level by level.
``steps``: the least important half goes, what is left is trained, and again. ``straight``: from the root to each share
at once. ``uniform``: the same share from every layer, at once. ``lower``: the root's lower layers (as many as fit).
Scores are those of the test split, each with its share of the root's; seconds are those of everything after the root.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from design_space import ModelSpec
from flexibert import Child, Materials, Morphism, prune, register_morphism
from flexibert.pruning import linear_weights
from search import Candidate, Origin
from search.records.journal import TrialRecord
from search.runs.shrinking import descend
from search.training.evaluate import evaluate
from search.tune.cluster import ray_cluster
from search.tune.runner import LevelRun
from tests.benchmarks.fine_tuned import add_root_arguments, alone, fine_tuned, pruned, train_beside

SHARES = (1 / 2, 1 / 4, 1 / 8, 1 / 16)


@register_morphism
class LowerLayers(Morphism):
    """The first layers of a parent, as DistilBERT starts."""

    name, num_parents = "lower", 1
    sentence = "Starts from the lower layers of a trained parent."

    def inherited_share(self, parents: Sequence[ModelSpec], child: ModelSpec, overlap: Any) -> float:
        return 1.0

    def make(self, parents: Sequence[Any], child: Child, materials: Materials) -> Any:
        model = materials.blank()
        model.load_state_dict(
            {name: value for name, value in parents[0].state_dict().items() if name in model.state_dict()}
        )
        return model


def main() -> None:
    """Read the arguments, run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_root_arguments(parser)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--screen", type=int, default=24)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = [row for seed in range(arguments.seeds) for row in _of_seed(arguments, seed)]
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1))


def _of_seed(arguments: argparse.Namespace, seed: int) -> Iterator[dict[str, Any]]:
    run, root = fine_tuned(arguments, seed, console := Console())
    split = "test" if "test" in run.data.sizes else "validation"
    of_root = _score(run, root.candidate.spec.hash, split)
    console.print(f"root: {of_root:.4f} on {split}; {root.cost_s:.0f} s")
    with ray_cluster(None):
        for method in arguments.methods:
            own = alone(run, root, method)
            begun_s = time.monotonic()
            for share, graph_hash in METHODS[method](own, root, arguments):
                score, seconds = _score(own, graph_hash, split), round(time.monotonic() - begun_s)
                kept = f"{100 * score / of_root:.1f} % of the root's"
                print(f"{method} 1/{1 / share:.0f}: {score:.4f}, {kept}; {seconds} s", flush=True)
                found = {"share": share, "root": of_root, "score": score, "seconds": seconds, "hash": graph_hash}
                yield {"task": run.data.name, "seed": seed, "method": method, **found}


def _score(run: LevelRun, graph_hash: str, split: str) -> float:
    return evaluate(run.models_dir / graph_hash, run.data, split)[run.data.metric]


def _limits(run: LevelRun) -> list[dict[str, float]]:
    assert run.roots is not None
    spec = run.roots.reference
    whole, linear = float(run.exact["parameters"]([spec])[0]), linear_weights(spec, run.config)
    return [{"parameters": whole - (1 - share) * linear} for share in SHARES]


def _search(run: LevelRun, root: TrialRecord, arguments: argparse.Namespace) -> Iterator[tuple[float, str]]:
    levels = descend(run, root, _limits(run), num_screened=arguments.screen, trials=arguments.trials, console=Console())
    for share, best in zip(SHARES, levels, strict=False):
        yield share, best.candidate.spec.hash


def _steps(run: LevelRun, root: TrialRecord, arguments: argparse.Namespace) -> Iterator[tuple[float, str]]:
    parent = root.candidate.spec.hash
    for share, limit in zip(SHARES, _limits(run), strict=True):
        parent = _trained(run, _candidate(pruned(run, parent, limit), "prune", parent, share), "steps")
        yield share, parent


def _straight(run: LevelRun, root: TrialRecord, arguments: argparse.Namespace) -> Iterator[tuple[float, str]]:
    parent = root.candidate.spec.hash
    for share, limit in zip(SHARES, _limits(run), strict=True):
        yield share, _trained(run, _candidate(pruned(run, parent, limit), "prune", parent, share), "straight")


def _uniform(run: LevelRun, root: TrialRecord, arguments: argparse.Namespace) -> Iterator[tuple[float, str]]:
    spec = root.candidate.spec
    for share in SHARES:
        child = prune(spec, density=share)
        yield share, _trained(run, _candidate(child, "prune", spec.hash, share), "uniform")


def _lower(run: LevelRun, root: TrialRecord, arguments: argparse.Namespace) -> Iterator[tuple[float, str]]:
    spec = root.candidate.spec
    for share in SHARES:
        if count := int(share * len(spec.layers)):
            child = ModelSpec(spec.layers[:count], spec.format)
            candidate = Candidate(child, Origin("lower", spec.hash))
            yield share, _trained(run, candidate, "lower")


METHODS: Mapping[str, Callable[[LevelRun, TrialRecord, argparse.Namespace], Iterator[tuple[float, str]]]] = {
    "search": _search,
    "steps": _steps,
    "straight": _straight,
    "uniform": _uniform,
    "lower": _lower,
}


def _candidate(spec: ModelSpec, morphism: str, parent: str, share: float) -> Candidate:
    return Candidate(spec, Origin(morphism, parent, density=share))


def _trained(run: LevelRun, candidate: Candidate, method: str) -> str:
    train_beside(run, candidate, method)
    return candidate.spec.hash


if __name__ == "__main__":
    main()
