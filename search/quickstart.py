"""What ``make search`` runs: the seed's walk on the embedded data, two levels of the hierarchy, in one process.

Specify the space (``quickstart.yaml``) -> graph library -> BOSHNAS on Ray -> next level -> BOSHNAS again -> the best
of both, tested. Every step prints the command that does the same. Steps that are done are not repeated, so a run that
was stopped or killed goes on when started again.
"""

import dataclasses
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from dataset import PreparedData
from design_space.command import ArgumentParser, run_command
from embeddings.generate_library import generate_library

from .cluster import ray_cluster
from .hierarchical import hierarchical
from .run_boshnas import parse, search
from .run_directory import RunDirectory
from .summary import keep_best, write_summary

SPACE = str(files("design_space") / "quickstart.yaml")
RECIPE = str(files("search") / "quickstart.yaml")


def quickstart(arguments: Sequence[str] | None = None) -> None:
    """Parse the flags and run what is not done yet."""
    parser = ArgumentParser(
        prog="python -m search.quickstart", description="A real two-level search on the embedded data."
    )
    parser.add_argument(
        "--run_dir",
        type=Path,
        default=Path("runs/quickstart"),
        help="where everything goes; goes on with what is there",
    )
    parser.add_argument(
        "--trials", type=int, nargs=2, default=[7, 6], metavar=("FIRST", "SECOND"), help="trials per level"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the search")
    parser.add_argument("--config", type=Path, default=Path(RECIPE), help="YAML file with flags of run_boshnas")
    options = parser.parse_args(arguments)
    console, directory = Console(), RunDirectory(options.run_dir.absolute())
    if directory.summary_file.exists():
        console.print(
            f"{directory.path} holds a finished search: see {directory.summary_file}.", highlight=False, soft_wrap=True
        )
        console.print(
            "For another one, remove it or choose another folder: make search RUN_DIR=runs/another", highlight=False
        )
        return
    if directory.path.exists() and any(directory.path.iterdir()):
        console.print(f"Going on with the search in {directory.path}", highlight=False, soft_wrap=True)
    shared = [
        "--models_dir",
        str(directory.models_dir),
        "--prepared_dir",
        str(directory.data_dir),
        "--seed",
        str(options.seed),
    ]
    libraries = [directory.path / f"library-{level}.json" for level in (1, 2)]
    levels = [RunDirectory(directory.path / f"level-{level}") for level in (1, 2)]

    def walk(step: str, command: str, function: Callable[[Sequence[str]], object], flags: list[str]) -> None:
        console.rule(step)
        console.print(f"$ {command} {' '.join(flags)}", highlight=False, soft_wrap=True, style="dim")
        function(flags)

    def run_level(level: int) -> None:
        flags = [
            "--dataset_file",
            str(libraries[level]),
            "--run_dir",
            str(levels[level].path),
            "--config",
            str(options.config),
        ]
        flags += [
            "--max_trials",
            str(options.trials[level]),
            *shared,
            *(["--resume"] if levels[level].exists() else []),
        ]
        walk(f"level {level + 1}: BOSHNAS", "run_boshnas", lambda flags: search(parse(flags), console), flags)

    with ray_cluster(None):
        if not libraries[0].exists():
            flags = ["--design_space", SPACE, "--dataset_file", str(libraries[0]), "--layers_per_stack", "2"]
            walk("level 1: graph library", "generate_library", generate_library, flags)
        run_level(0)
        if not libraries[1].exists():
            flags = ["--old_dataset_file", str(libraries[0]), "--new_dataset_file", str(libraries[1])]
            flags += ["--old_layers_per_stack", "2", "--new_layers_per_stack", "1", "--max_graphs", "1000"]
            walk("level 2: graph library", "hierarchical", hierarchical, flags)
        run_level(1)
    console.rule("result")
    console.print(_conclude(directory, levels), highlight=False, soft_wrap=True, markup=False)


def _conclude(directory: RunDirectory, levels: Sequence[RunDirectory]) -> str:
    """Keep the best of all levels, and say how it was found."""
    records = [
        dataclasses.replace(record, trial=f"L{number}-{record.trial}")
        for number, level in enumerate(levels, start=1)
        for record in level.journal.trials().values()
    ]
    data = PreparedData.load(directory.data_dir)
    evaluation = keep_best(directory, directory.models_dir, records, data)
    return write_summary(directory, records, evaluation)


def main() -> None:
    """Entry point of ``python -m search.quickstart``."""
    run_command(quickstart)


if __name__ == "__main__":
    main()
