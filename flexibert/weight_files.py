"""Files of weights that cannot be read, and why."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

UNREADABLE = (SafetensorError, pickle.UnpicklingError, EOFError, LookupError, RuntimeError, TypeError, OSError)
"""What readers of damaged files raise, among other things; ``damaged_file`` tells whether it was one."""


def damaged_file(folder: Path) -> str | None:
    """A sentence about the first file of weights in a folder that cannot be read; None when all can."""
    for file in [*sorted(folder.glob("model*.safetensors")), *sorted(folder.glob("pytorch_model*.bin"))]:
        reason = _unreadable(file)
        if reason is not None:
            return f"{file}: the weights cannot be read ({reason}); the file is damaged or cut off"
    return None


def _unreadable(file: Path) -> str | None:
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt"):
                return None
        weights = torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        return str(error).splitlines()[0]
    except UNREADABLE:
        return "not a file of weights"
    return None if isinstance(weights, Mapping) else f"it holds no weights by name but a {type(weights).__name__}"
