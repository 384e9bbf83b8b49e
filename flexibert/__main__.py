"""``python -m flexibert COMMAND``: the operations on weights, on model folders.

A command is a module with a class ``Options`` and a function ``run`` of it, imported when it is asked for. Names may be
written with ``-`` or ``_``.
"""

import importlib
import sys
from collections.abc import Sequence

from design_space.command import read_options, run_command
from design_space.files import nearest_name
from design_space.version import __version__

# command -> (module, what the list of commands says about it)
COMMANDS = {
    "transfer": ("flexibert.commands.transfer", "start an architecture from a trained model's weights"),
    "stitch": ("flexibert.commands.stitch", "two models side by side in one"),
    "prune": ("flexibert.commands.prune", "heads and neurons removed without training, and what that leaves"),
    "merge-layers": ("flexibert.commands.merge_layers", "pairs of layers as one layer each"),
    "export": ("flexibert.commands.export", "a model for outside of PyTorch: ONNX, 8-bit numbers, predict.py"),
    "retrain-block": ("flexibert.commands.retrain_block", "attention blocks anew, with other heads"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: run the command that the first argument names; the others are its own."""
    run_command(_run, arguments)


def _run(arguments: Sequence[str] | None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print("usage: python -m flexibert COMMAND ...; each command has --help\n\ncommands:")
        print("\n".join(f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()))
        return
    if given[0] == "--version":
        print(f"flexibert-nas {__version__}")
        return
    name = given[0].replace("_", "-")
    if name not in COMMANDS:
        raise ValueError(f"'{given[0]}' is no command of flexibert. {nearest_name(name, COMMANDS)}")
    module = importlib.import_module(COMMANDS[name][0])
    module.run(read_options(module.Options, given[1:]))


if __name__ == "__main__":
    main()
