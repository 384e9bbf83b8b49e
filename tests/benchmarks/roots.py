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
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from design_space import ModelSpec
from flexibert import Child, Materials, Morphism, prune, register_morphism
from flexibert.pruning import Shrinker, linear_weights
from search import Candidate, Origin
from search.records.journal import TrialRecord
from search.records.run_directory import RunDirectory
from search.runs.level import begin, with_teacher
from search.runs.screening import trained_root
from search.runs.shrink_run import ShrinkOptions
from search.runs.shrinking import ShrinkGoals, descend
from search.training.evaluate import evaluate
from search.training.initial_weights import first_batches
from search.training.recipe import TrainingJob
from search.training.task_heads import model_class
from search.training.train import train_candidate
from search.tune.cluster import ray_cluster
from search.tune.runner import LevelRun

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
    parser.add_argument("encoder")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--screen", type=int, default=24)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/roots"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--task", default="python_docs")
    parser.add_argument("--data_dir")
    parser.add_argument("--max_train_examples", type=int)
    parser.add_argument("--max_length", type=int, default=48)
    arguments = parser.parse_args()
    rows = [row for seed in range(arguments.seeds) for row in _of_seed(arguments, seed)]
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1))


def _of_seed(arguments: argparse.Namespace, seed: int) -> Iterator[dict[str, Any]]:
    from dataset.prepare import DataOptions

    folder = arguments.folder / f"{Path(arguments.task).stem}-{seed}"
    options = ShrinkOptions(
        model=arguments.encoder,
        target=folder / "unused",
        wanted=ShrinkGoals(smaller=2.0),
        run_dir=folder,
        data=DataOptions(
            task=arguments.task,
            data_dir=arguments.data_dir,
            max_length=arguments.max_length,
            max_train_examples=arguments.max_train_examples,
            seed=seed,
        ),
    )
    options = replace(
        options, training=replace(options.training, epochs=arguments.epochs, max_length=arguments.max_length)
    )
    console, directory = Console(), RunDirectory(folder)
    with ray_cluster(None):
        run = begin(options.search_options(), directory, console)
        root = trained_root(run, console)
        run = with_teacher(run, "root", root, console)
        split = "test" if "test" in run.data.sizes else "validation"
        of_root = _score(run, root.candidate.spec.hash, split)
        print(f"root: {of_root:.4f} on {split}; {root.cost_s:.0f} s", flush=True)
        for method in arguments.methods:
            own = _alone(run, root, method)
            begun_s = time.monotonic()
            for share, graph_hash in METHODS[method](own, root, arguments):
                score, seconds = _score(own, graph_hash, split), round(time.monotonic() - begun_s)
                kept = f"{100 * score / of_root:.1f} % of the root's"
                print(f"{method} 1/{1 / share:.0f}: {score:.4f}, {kept}; {seconds} s", flush=True)
                found = {"share": share, "root": of_root, "score": score, "seconds": seconds, "hash": graph_hash}
                yield {"task": run.data.name, "seed": seed, "method": method, **found}


def _alone(run: LevelRun, root: TrialRecord, method: str) -> LevelRun:
    """The run with folders of its own, in which only the root is trained: no method finds another's models."""
    directory = RunDirectory(run.directory.path.with_name(f"{run.directory.path.name}-{method}"))
    shutil.rmtree(directory.path, ignore_errors=True)
    name = root.candidate.spec.hash
    shutil.copytree(run.models_dir / name, directory.models_dir / name)
    shutil.copy(run.directory.journal.path, directory.journal.path)
    return replace(run, directory=directory, models_dir=directory.models_dir)


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
        parent = _trained(run, _candidate(_pruned(run, parent, limit), "prune", parent, share), "steps")
        yield share, parent


def _straight(run: LevelRun, root: TrialRecord, arguments: argparse.Namespace) -> Iterator[tuple[float, str]]:
    parent = root.candidate.spec.hash
    for share, limit in zip(SHARES, _limits(run), strict=True):
        yield share, _trained(run, _candidate(_pruned(run, parent, limit), "prune", parent, share), "straight")


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


def _pruned(run: LevelRun, parent: str, limit: Mapping[str, float]) -> ModelSpec:
    """What is left of a trained model when the least important goes from all layers."""
    model = model_class(run.data).from_pretrained(run.models_dir / parent).eval()
    shrinker = Shrinker(model, first_batches(run.data, model.config.model_spec, 16))
    found = shrinker.largest(
        len(model.config.model_spec.layers),
        lambda spec: all(float(run.exact[name]([spec])[0]) <= most for name, most in limit.items()),
    )
    assert found is not None
    return found


def _trained(run: LevelRun, candidate: Candidate, method: str) -> str:
    """Trains as a trial is trained, with all threads; returns the hash of what was saved, beside the run's models."""
    job = TrainingJob(
        trial=f"{method}-{candidate.spec.hash[:8]}",
        candidate=candidate,
        data_dir=str(run.data.path),
        models_dir=str(run.models_dir),
        work_dir=str(run.directory.work_dir / f"{method}-{candidate.spec.hash[:12]}"),
        recipe=run.recipe,
        seed=run.seed,
        num_threads=2,
        network=run.network,
        teacher=str(run.teacher or ""),
    )
    train_candidate(job, report=lambda _: None)
    return candidate.spec.hash


if __name__ == "__main__":
    main()
