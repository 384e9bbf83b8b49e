"""The library file: JSON with the keys of the original libraries and what is needed to embed further architectures.

Original keys: ``dataset, design_space, ops_list, num_neighbors, model_dicts, hashes, embeddings, neighbors,
performances``. ``neighbors`` are indices into ``hashes``; ``performances`` maps a hash to scores by task.
"""

import json
from pathlib import Path
from typing import Any

from design_space.files import write_atomically

KEYS = (
    "dataset",
    "design_space",
    "ops_list",
    "num_neighbors",
    "layers_per_stack",
    "heterogeneous_feed_forward",
    "kernel",
    "algo",
    "quality",
    "landmarks",
    "model_dicts",
    "hashes",
    "embeddings",
    "neighbors",
    "performances",
)


def check_library_path(path: Path | str) -> Path:
    """The absolute path of a library file. Raises ``ValueError`` for a name that does not end in ``.json``."""
    path = Path(path).absolute()
    if path.suffix != ".json":
        raise ValueError(f"A library file is named *.json. Got {path.name}")
    return path


def write_library(path: Path | str, content: dict[str, Any]) -> None:
    """Write a library's content, whole or not at all."""
    write_atomically(check_library_path(path), json.dumps(content, separators=(",", ":")))


def read_library(path: Path | str) -> dict[str, Any]:
    """A library's content with all ``KEYS``. Raises ``ValueError`` when the file is missing, cut off or no library."""
    path = check_library_path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"No library file {path}. Make one with generate_library --dataset_file {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged or cut off ({error}). Build it again with generate_library") from error
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"{path} is no graph library: it has no {', '.join(missing)}")
    return content
