"""The command ``hierarchical``: from the best models of one level to the graph library of the next, finer one.

Parents are paired as in FlexiBERT (section 3.2.2): each of the top models with its nearest neighbors, and the top
models among themselves. The new library holds what lies between them, and everything trained that fits there keeps
its score.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from typing import ClassVar

from rich.console import Console

from design_space import Level, ModelSpec, next_level
from design_space.command import CommandOptions, read_options, run_command
from design_space.options import Place, Whole, options
from embeddings import GraphLibrary
from embeddings.generate_library import LibraryOptions, describe_library, library_progress
from embeddings.library_file import check_library_path

DEFAULT_MAX_GRAPHS = 5000


def pairs_of_parents(
    library: GraphLibrary, *, num_best: int, num_nearest: int, task: str | None = None
) -> list[tuple[ModelSpec, ModelSpec]]:
    """The top models with their nearest neighbors by embedding, and the top models among themselves, best first.

    Args:
        task: whose scores count; None for the only one there is.

    Raises:
        ValueError: when no score, or scores of several tasks, are there to choose by.
    """
    scores = _scores(library, task)
    best = sorted(scores, key=lambda graph_hash: (-scores[graph_hash], graph_hash))[:num_best]
    parents = [library.get(graph_hash) for graph_hash in best]
    pairs = []
    for parent in parents:
        distances = ((library.embeddings - parent.embedding) ** 2).sum(1)
        nearest = distances.argsort(kind="stable")[1 : num_nearest + 1]
        pairs += [(parent.spec, library.specs[i]) for i in nearest]
    return pairs + [(a.spec, b.spec) for a, b in itertools.combinations(parents, 2)]


def next_library_specs(level: Level, trained: Sequence[ModelSpec], *, max_graphs: int, seed: int) -> list[ModelSpec]:
    """Up to ``max_graphs`` different architectures: the trained ones first, then all or a sample of the level."""
    specs = {spec.hash: spec for spec in trained}
    for spec in level.stream(seed=seed, limit=min(max_graphs, level.size)):
        if len(specs) >= max_graphs:
            break
        specs.setdefault(spec.hash, spec)
    return list(specs.values())


@options
class HierarchicalOptions(CommandOptions):
    """Make the graph library of the next, finer level of the hierarchy."""

    prog: ClassVar[str] = "hierarchical"
    old_dataset_file: Place
    """Library with scores, as run_boshnas leaves it."""
    new_dataset_file: Place
    """Library to write (*.json)."""
    old_layers_per_stack: Whole = 2
    """Granularity of the old library."""
    new_layers_per_stack: Whole = 1
    """Granularity of the new library."""
    task: str | None = None
    """Task whose scores choose the parents; needed when there are several."""
    num_best: Whole = 5
    """How many of the best models become parents."""
    num_nearest: Whole = 5
    """Nearest neighbors each of them is paired with."""
    build: LibraryOptions = LibraryOptions()


def hierarchical(arguments: Sequence[str] | None = None) -> None:
    """Read the options and write the next level's library."""
    write_next_library(read_options(HierarchicalOptions, arguments), Console())


def write_next_library(options: HierarchicalOptions, console: Console) -> None:
    """Write the library of what lies between the best of the old one.

    Raises:
        ValueError: for options that do not fit the old library.
    """
    path = check_library_path(options.new_dataset_file)
    if path == check_library_path(options.old_dataset_file):
        raise ValueError("'--new_dataset_file' must not be the old one: nothing is overwritten")
    old = GraphLibrary.load(options.old_dataset_file)
    if old.layers_per_stack != options.old_layers_per_stack:
        raise ValueError(
            f"'--old_layers_per_stack' must be what the library was built with, {old.layers_per_stack}. "
            f"Got {options.old_layers_per_stack}"
        )
    build = options.build
    level = next_level(
        pairs_of_parents(old, num_best=options.num_best, num_nearest=options.num_nearest, task=options.task),
        old_layers_per_stack=options.old_layers_per_stack,
        new_layers_per_stack=options.new_layers_per_stack,
        heterogeneous_feed_forward=build.heterogeneous_feed_forward,
    )
    trained = [old.get(graph_hash).spec for graph_hash in _scores(old, options.task)]
    with library_progress(console) as progress:
        new = GraphLibrary.of_specs(
            next_library_specs(level, trained, max_graphs=build.max_graphs or DEFAULT_MAX_GRAPHS, seed=build.seed),
            space=old.space,
            order=old.order,
            layers_per_stack=options.new_layers_per_stack,
            **{name: value for name, value in asdict(build).items() if name != "max_graphs"},
            progress=progress,
        )
        new.performances = {graph_hash: dict(scores) for graph_hash, scores in old.performances.items()}
        new.measured_on = {name: dict(identity) for name, identity in old.measured_on.items()}
        new.save_over(path)
    console.print(
        f"{len(level.branches)} pairs of parents span at most {level.size:,} architectures; "
        f"{len(trained)} trained ones carried over",
        highlight=False,
    )
    console.print(describe_library(new, level.size, path), soft_wrap=True, highlight=False)


def _scores(library: GraphLibrary, task: str | None) -> dict[str, float]:
    """Score by hash of the members trained on the task."""
    tasks = sorted({name for scores in library.performances.values() for name in scores})
    if not tasks:
        raise ValueError("The old library holds no scores: run run_boshnas on it first")
    if task is None and len(tasks) > 1:
        raise ValueError(f"The old library holds scores of several tasks: choose one with --task: {', '.join(tasks)}")
    task = task or tasks[0]
    if task not in tasks:
        raise ValueError(f"The old library holds no scores of task '{task}', only of {', '.join(tasks)}")
    return {
        graph_hash: scores[task]
        for graph_hash, scores in library.performances.items()
        if task in scores and graph_hash in library
    }


def main() -> None:
    """Entry point of the console script."""
    run_command(hierarchical)


if __name__ == "__main__":
    main()
