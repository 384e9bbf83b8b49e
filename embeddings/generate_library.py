"""The command ``generate_library``: a design space becomes a graph library file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from design_space import DesignSpace
from design_space.command import CommandOptions, read_options, run_command
from design_space.options import NO_SWITCH, Place, Switch, Whole, flag, options

from . import library as graph_library
from .library_file import check_library_path
from .named_spaces import SpaceFile
from .plot import check_plot_path, plot_embedding


@options
class LibraryOptions:
    """How a library is built."""

    kernel: Literal["GraphEditDistance", "WeisfeilerLehman"] = "GraphEditDistance"
    """Distance of graphs."""
    algo: Literal["MDS", "GD"] = "MDS"
    """How vectors are fitted: stress majorisation or gradient descent."""
    embedding_size: Whole | None = None
    """Dimensions of the embedding; 16 (or as many as fit) when not given."""
    num_neighbors: Whole | None = None
    """Neighbors kept per graph; 100 (or all there are) when not given."""
    n_jobs: Annotated[int, Field(ge=-1000, le=1000), NO_SWITCH] = -1
    """Processes that measure distances; -1 for one per core."""
    heterogeneous_feed_forward: Switch = False
    """Let widths inside one feed-forward stack differ."""
    max_graphs: Annotated[int, Field(ge=1, le=1_000_000), NO_SWITCH] | None = None
    """Work on this many graphs of a space too large to list."""
    seed: Whole = 0
    """Seed of sample, landmarks and embedding."""


@options
class SpaceLibraryOptions:
    """How a library is built of a design space."""

    layers_per_stack: Whole = 2
    """Equal layers per stack."""
    library: LibraryOptions = LibraryOptions()


@options
class GenerateLibraryOptions(CommandOptions):
    """Turn a YAML design space into a graph library."""

    prog: ClassVar[str] = "generate_library"
    design_space_file: Annotated[SpaceFile, flag(also="--design_space")]
    """The YAML design space: a file, or full, hetero, small, test or quickstart, which come along."""
    dataset_file: Place | None = None
    """The library to write (*.json, or *.parquet for a large one); needed unless --count."""
    plot: Place | None = None
    """Draw the embedding into this picture (*.png, *.svg)."""
    count: Switch = False
    """Print the number of architectures and stop."""
    build: SpaceLibraryOptions = SpaceLibraryOptions()


def generate_library(arguments: Sequence[str] | None = None) -> None:
    """Read the options and write the library."""
    options = read_options(GenerateLibraryOptions, arguments)
    space = DesignSpace.from_yaml(options.design_space_file)
    build = options.build
    size = space.size(
        layers_per_stack=build.layers_per_stack, heterogeneous_feed_forward=build.library.heterogeneous_feed_forward
    )
    console = Console()
    if options.count:
        console.out(f"{size:,}")
        return
    if options.dataset_file is None:
        raise ValueError("'--dataset_file' is needed: where to write the library, for example library.json")
    path = check_library_path(options.dataset_file)
    if options.plot is not None:
        check_plot_path(options.plot)
        if (there := _built_so(path, space, build)) is not None:
            plot_embedding(there, options.plot)
            console.print(f"{path} is there, built so: drawn as it is", soft_wrap=True, highlight=False)
            return
    with library_progress(console) as progress:
        library = graph_library.GraphLibrary.build(
            space,
            layers_per_stack=build.layers_per_stack,
            **asdict(build.library),
            progress=progress,
        )
        num_scored = library.save_over(path)
    if options.plot is not None:
        plot_embedding(library, options.plot)
    kept = f"; the scores of {num_scored:,} architectures that were there are kept" if num_scored else ""
    console.print(describe_library(library, size, path) + kept, soft_wrap=True, highlight=False)


def _built_so(path: Path, space: DesignSpace, build: SpaceLibraryOptions) -> graph_library.GraphLibrary | None:
    """The library in a file, where it is there and is what the options ask for."""
    try:
        there = graph_library.GraphLibrary.load(path, space=space)
    except ValueError:
        return None
    options = build.library
    asked = (
        (build.layers_per_stack, there.layers_per_stack),
        (options.heterogeneous_feed_forward, there.heterogeneous_feed_forward),
        (options.kernel, there.kernel),
        (options.algo, there.algo),
        (options.embedding_size, there.embeddings.shape[1]),
        (options.num_neighbors, there.neighbors.shape[1]),
        (options.max_graphs, len(there)),
    )
    return there if all(wanted in (None, found) for wanted, found in asked) else None


def describe_library(library: graph_library.GraphLibrary, size: int, path: Path) -> str:
    """One line that says what was built from how large a space, how faithful the embedding is, and where it is."""
    quality = ", ".join(f"{name} {value:.3f}" for name, value in library.quality.items())
    return (
        f"{len(library):,} graphs of {size:,}; embedding {library.embeddings.shape[1]}-d ({quality} on a sample of "
        f"pairs), {library.neighbors.shape[1]} neighbors each; written to {path}"
    )


@contextmanager
def library_progress(console: Console) -> Iterator[graph_library.Progress]:
    """A progress bar per stage of building a library."""
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield update


def main() -> None:
    """Entry point of the console script."""
    run_command(generate_library)


if __name__ == "__main__":
    main()
