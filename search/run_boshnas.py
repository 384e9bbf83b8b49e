"""The command ``run_boshnas``: search a graph library for the best architecture for a task."""

from collections.abc import Sequence

from rich.console import Console

from design_space.command import run_command


def run_boshnas(arguments: Sequence[str] | None = None) -> None:
    """Read the options and search."""
    # Here, and not above, so that Ctrl-C meets ``run_command`` while they are imported.
    from .records.run_directory import RunDirectory
    from .runs.hierarchy import search_levels
    from .runs.level import search
    from .runs.options import parse
    from .training.retries import disk_full_cause

    options = parse(arguments)
    try:
        if options.levels:
            search_levels(options, Console())
        else:
            search(options, Console())
    except KeyboardInterrupt as stop:
        if RunDirectory(options.run_dir).exists():
            raise KeyboardInterrupt(f"Go on with: run_boshnas --run_dir {options.run_dir} --resume") from stop
        raise
    except OSError as error:
        if disk_full_cause(error) is None:
            raise
        raise ValueError(
            f"No space is left for {options.run_dir}: {error}. Finished trials are in its journal; make room, for "
            "instance with --keep_models, and go on with --resume"
        ) from error


def main() -> None:
    """Entry point of the console script."""
    run_command(run_boshnas)


if __name__ == "__main__":
    main()
