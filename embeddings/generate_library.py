"""The command ``generate_library``: a design space becomes a graph library file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from design_space import DesignSpace
from design_space.command import ArgumentParser, run_command

from . import library as graph_library
from .library_file import check_library_path
from .plot import check_plot_path, plot_embedding


def add_library_flags(parser: ArgumentParser) -> None:
    """The flags that say how a library is built; ``hierarchical`` has them too."""
    parser.add_argument(
        "--kernel",
        choices=["GraphEditDistance", "WeisfeilerLehman"],
        default="GraphEditDistance",
        help="distance of graphs",
    )
    parser.add_argument(
        "--algo",
        choices=["MDS", "GD"],
        default="MDS",
        help="how vectors are fitted: stress majorisation or gradient descent",
    )
    parser.add_argument(
        "--embedding_size",
        type=int,
        default=None,
        help="dimensions of the embedding; 16 (or as many as fit) when not given",
    )
    parser.add_argument(
        "--num_neighbors",
        type=int,
        default=None,
        help="neighbors kept per graph; 100 (or all there are) when not given",
    )
    parser.add_argument("--n_jobs", type=int, default=-1, help="processes that measure distances; -1 for one per core")
    parser.add_argument(
        "--heterogeneous_feed_forward", action="store_true", help="let widths inside one feed-forward stack differ"
    )
    parser.add_argument(
        "--max_graphs", type=int, default=None, help="work on this many graphs of a space too large to list"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of sample, landmarks and embedding")


def generate_library(arguments: Sequence[str] | None = None) -> None:
    """Parse the flags and write the library."""
    parser = ArgumentParser(prog="generate_library", description="Turn a YAML design space into a graph library.")
    parser.add_argument("--design_space_file", "--design_space", required=True, type=Path, help="the YAML design space")
    parser.add_argument(
        "--dataset_file",
        type=Path,
        default=None,
        help="the library to write (*.json, or *.parquet for a large one); needed unless --count",
    )
    parser.add_argument("--layers_per_stack", type=int, default=2, help="equal layers per stack")
    parser.add_argument("--plot", type=Path, default=None, help="draw the embedding into this picture (*.png, *.svg)")
    parser.add_argument("--count", action="store_true", help="print the number of architectures and stop")
    add_library_flags(parser)
    options = parser.parse_args(arguments)
    space = DesignSpace.from_yaml(options.design_space_file)
    size = space.size(
        layers_per_stack=options.layers_per_stack, heterogeneous_feed_forward=options.heterogeneous_feed_forward
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
    with library_progress(console) as progress:
        library = graph_library.GraphLibrary.build(
            space,
            layers_per_stack=options.layers_per_stack,
            embedding_size=options.embedding_size,
            num_neighbors=options.num_neighbors,
            heterogeneous_feed_forward=options.heterogeneous_feed_forward,
            kernel=options.kernel,
            algo=options.algo,
            max_graphs=options.max_graphs,
            n_jobs=options.n_jobs,
            seed=options.seed,
            progress=progress,
        )
        library.save(path)
    if options.plot is not None:
        plot_embedding(library, options.plot)
    console.print(describe_library(library, size, path), soft_wrap=True, highlight=False)


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
