"""Datasets of the Hub by name, and a quick answer where there is no way to it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets as hf_datasets
from huggingface_hub import constants
from huggingface_hub.utils import get_session

_PATIENCE_S = 5.0


def is_hub_name(source: Path | str, file_suffixes: Sequence[str]) -> bool:
    """Whether a source can only be a dataset's name (``owner/name``, ``owner/name:configuration``): what is there, and
    what ends as files do, is a file or folder."""
    text = str(source)
    return (
        text.count("/") == 1
        and not text.startswith((".", "/", "~"))
        and not text.lower().endswith(tuple(file_suffixes))
        and not Path(text).exists()
    )


def is_saved_dataset(folder: Path) -> bool:
    """Whether ``datasets.load_from_disk`` reads a folder."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def load_from_hub(name: str, configuration: str | None = None, **options: Any) -> Any:
    """Call ``datasets.load_dataset``; without a way to the Hub what was loaded before is used, at once.

    Raises:
        ValueError: when the dataset is neither there nor here.
    """
    with _offline_if_unreachable() as reason:
        try:
            return hf_datasets.load_dataset(name, configuration, **options)
        except (OSError, RuntimeError, ValueError) as error:
            cause = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"The dataset '{name}'{f' ({configuration})' if configuration else ''} could not be loaded from the "
                f"Hub ({reason or cause})"
            ) from error


@contextlib.contextmanager
def _offline_if_unreachable() -> Iterator[str]:
    """Ask the Hub once, and spare the libraries their half minute of retries when it does not answer."""
    reason = "" if constants.HF_HUB_OFFLINE else _unreachable()
    before = constants.HF_HUB_OFFLINE, hf_datasets.config.HF_HUB_OFFLINE
    if reason:
        constants.HF_HUB_OFFLINE = hf_datasets.config.HF_HUB_OFFLINE = True
    try:
        yield reason
    finally:
        constants.HF_HUB_OFFLINE, hf_datasets.config.HF_HUB_OFFLINE = before


def _unreachable() -> str:
    """The reason why the Hub cannot be reached; empty when it can."""
    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE_S)
    except Exception as error:  # whatever client the library uses, it did not get through
        return f"{constants.ENDPOINT} cannot be reached: {error}"
    return ""
