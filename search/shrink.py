"""The command ``shrink_model``: a pre-trained encoder and a task in, a smaller and faster model for that task out."""

from collections.abc import Sequence

from rich.console import Console

from design_space.command import read_options, run_command


def shrink_model(arguments: Sequence[str] | None = None) -> None:
    """Read the options and shrink."""
    # Here, and not above, so that Ctrl-C meets ``run_command`` while it is imported.
    from .runs.shrink_run import ShrinkOptions, shrink_run

    options = read_options(ShrinkOptions, arguments)
    try:
        shrink_run(options, Console())
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt("The same command goes on where it was") from stop


def main() -> None:
    """Entry point of the console script."""
    run_command(shrink_model)


if __name__ == "__main__":
    main()
