"""What a fine-tuned encoder keeps at a half to a sixteenth of its weights: by the search, and by controls.

    python -m tests.benchmarks.roots ENCODER --task python_docs [--methods search steps] [--of weights] [--seeds 3]

All methods start from the same fine-tuned root, train by the same recipe with the root as teacher, and stop at shares
of the encoder's linear weights, or of its time, of 1/2, 1/4, 1/8 and 1/16. ``search``: screening and BOSHNAS, level by
level. ``steps``: the least important goes from all layers, what is left is trained, and again. ``straight``: from the
root to each share at once. ``uniform``: the same share from every layer, at once. ``lower``: the root's lower layers,
as many as fit. What no child of a method keeps is left out.
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
from search.runs.descent import descend
from search.runs.timing import timed
from search.training.evaluate import evaluate
from search.tune.cluster import ray_cluster
from search.tune.runner import LevelRun
from tests.benchmarks.fine_tuned import add_root_arguments, alone, fine_tuned, keeps, pruned, train_beside

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
    parser.add_argument("--of", choices=("weights", "time"), default="weights")
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
    run = timed(run, arguments.max_length)
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


def _limits(run: LevelRun, arguments: argparse.Namespace) -> list[dict[str, float]]:
    assert run.roots is not None
    spec = run.roots.reference
    if arguments.of == "time":
        whole = float(run.exact["latency_ms"]([spec])[0])
        return [{"latency_ms": share * whole} for share in SHARES]
    whole, linear = float(run.exact["parameters"]([spec])[0]), linear_weights(spec, run.config)
    return [{"parameters": whole - (1 - share) * linear} for share in SHARES]


def _search(run: LevelRun, root: TrialRecord, arguments: argparse.Namespace) -> Iterator[tuple[float, str]]:
    levels = descend(
        run, root, _limits(run, arguments), num_screened=arguments.screen, trials=arguments.trials, console=Console()
    )
    for share, best in zip(SHARES, levels, strict=False):
        yield share, best.candidate.spec.hash


def _steps(run: LevelRun, root: TrialRecord, arguments: argparse.Namespace) -> Iterator[tuple[float, str]]:
    parent = root.candidate.spec.hash
    for share, limit in zip(SHARES, _limits(run, arguments), strict=True):
        if (spec := pruned(run, parent, limit)) is None:
            return
        parent = _trained(run, _candidate(spec, parent, share), "steps")
        yield share, parent


def _straight(run: LevelRun, root: TrialRecord, arguments: argparse.Namespace) -> Iterator[tuple[float, str]]:
    parent = root.candidate.spec.hash
    for share, limit in zip(SHARES, _limits(run, arguments), strict=True):
        if (spec := pruned(run, parent, limit)) is not None:
            yield share, _trained(run, _candidate(spec, parent, share), "straight")


def _uniform(run: LevelRun, root: TrialRecord, arguments: argparse.Namespace) -> Iterator[tuple[float, str]]:
    spec = root.candidate.spec
    for share, limit in zip(SHARES, _limits(run, arguments), strict=True):
        if (child := next((one for one in _even_parts(spec) if keeps(run, one, limit)), None)) is not None:
            yield share, _trained(run, _candidate(child, spec.hash, share), "uniform")


def _even_parts(spec: ModelSpec) -> Iterator[ModelSpec]:
    for percent in range(99, 0, -1):
        try:
            yield prune(spec, density=percent / 100)
        except ValueError:  # one head and one group of neurons are left
            return


def _lower(run: LevelRun, root: TrialRecord, arguments: argparse.Namespace) -> Iterator[tuple[float, str]]:
    spec = root.candidate.spec
    for share, limit in zip(SHARES, _limits(run, arguments), strict=True):
        able = (ModelSpec(spec.layers[:count], spec.format) for count in range(len(spec.layers) - 1, 0, -1))
        if (child := next((one for one in able if keeps(run, one, limit)), None)) is not None:
            yield share, _trained(run, Candidate(child, Origin("lower", spec.hash)), "lower")


METHODS: Mapping[str, Callable[[LevelRun, TrialRecord, argparse.Namespace], Iterator[tuple[float, str]]]] = {
    "search": _search,
    "steps": _steps,
    "straight": _straight,
    "uniform": _uniform,
    "lower": _lower,
}


def _candidate(spec: ModelSpec, parent: str, share: float) -> Candidate:
    return Candidate(spec, Origin("prune", parent, density=share))


def _trained(run: LevelRun, candidate: Candidate, method: str) -> str:
    train_beside(run, candidate, method)
    return candidate.spec.hash


if __name__ == "__main__":
    main()
