"""Weights that cannot be read or do not fit, and why."""

import pickle
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

READERS = (SafetensorError, pickle.UnpicklingError, EOFError, struct.error)
UNREADABLE = (*READERS, LookupError, RuntimeError, TypeError, OSError)
"""What reading a damaged file raises; the later ones have other causes too, which ``damage`` tells apart."""


def damage(error: Exception, source: object, subfolder: str = "", variant: str | None = None) -> str | None:
    """A sentence about the file that cannot be read, where that is why loading ``source`` ended in ``error``."""
    folder = Path(str(source)) / subfolder
    ending = f".{variant}" if variant else ""
    files = sorted(folder.glob(f"model{ending}*.safetensors")) or sorted(folder.glob(f"pytorch_model{ending}*.bin"))
    for file in files:
        reason = _unreadable(file)
        if reason is not None:
            return f"{file}: the weights cannot be read ({reason}); the file is damaged or cut off"
    if isinstance(error, READERS) or "PytorchStreamReader" in str(error):  # from a hub's cache
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return f"{source}: the weights cannot be read ({reason}); the file is damaged or cut off"
    return None


def contradictions(
    missing: Iterable[str], unexpected: Iterable[str], mismatched: Iterable[tuple[str, Sequence[int], Sequence[int]]]
) -> str | None:
    """A list of what ``from_pretrained`` found: names that are missing, left over, or of another shape (name, shape in
    the file, shape by the configuration); None where there is nothing."""
    problems = [f"'{name}' is missing" for name in sorted(missing)]
    problems += [f"'{name}' has no place" for name in sorted(unexpected)]
    problems += [
        f"'{name}' has shape {tuple(found)}, the configuration says {tuple(expected)}"
        for name, found, expected in sorted(mismatched)
    ]
    if not problems:
        return None
    rest = f"\n  - and {len(problems) - 10} more" if len(problems) > 10 else ""
    return "contradict config.json:\n  - " + "\n  - ".join(problems[:10]) + rest


def _unreadable(file: Path) -> str | None:
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt"):
                return None
        weights = torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        return str(error).splitlines()[0]
    except Exception:  # unpickling what is no pickle may end in anything
        return "not a file of weights"
    return None if isinstance(weights, Mapping) else f"it holds no weights by name but a {type(weights).__name__}"
