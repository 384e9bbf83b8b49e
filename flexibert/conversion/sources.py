"""Where models are had from: a folder, or the Hub of Hugging Face by name; their files and configurations."""

from pathlib import Path
from typing import Any

from huggingface_hub.utils import HFValidationError, validate_repo_id
from transformers.utils import CONFIG_NAME, cached_file

from design_space.files import parse_json

from ..model.configuration_flexibert import FlexiBERTConfig

Source = Path | str
"""A folder, or a name on the Hub."""

CONTENT = "'config.json', weights and a tokenizer"


def located(source: str | Path) -> Source:
    """A folder as a path, or what is a name on the Hub as a text.

    Raises:
        ValueError: when there is no such folder, and it is not written as a name on the Hub.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.exists():
        raise ValueError(f"{source}: is a file; name the folder it is in, which must hold {CONTENT}")
    if isinstance(source, Path) or not is_hub_name(source):
        raise ValueError(f"{source}: there is no such folder; name one that holds {CONTENT}, or a model on the Hub")
    return source


def is_hub_name(text: str) -> bool:
    """Whether a text is written as names on the Hub are: ``name`` or ``owner/name``."""
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True


def file_of(source: Source, name: str, revision: str | None = None) -> Path | None:
    """A file of a folder or on the Hub, on this machine; None where there is none, or it cannot be had."""
    try:
        return Path(cached_file(source, name, revision=revision))
    except OSError:
        return None


def read_json(file: Path, source: Source) -> Any:
    """The content of a file of a source. Raises ``ValueError`` when it is no JSON."""
    try:
        return parse_json(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{source}: '{file.name}' cannot be read ({error})") from error


def read_config(source: Source, revision: str | None = None) -> dict[str, Any]:
    """What stands in ``config.json``.

    Raises:
        ValueError: when there is none, it cannot be read, or the Hub does not give it.
    """
    if isinstance(source, Path) and not (source / CONFIG_NAME).is_file():
        raise ValueError(f"{source}: is not a model folder; it must hold 'config.json' and weights")
    try:
        file = Path(cached_file(source, CONFIG_NAME, revision=revision))
    except OSError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"{source}: there is no such folder, and the model could not be had from the Hub ({reason}); give a folder "
            f"that holds {CONTENT}"
        ) from error
    config = read_json(file, source)
    if not isinstance(config, dict):
        raise ValueError(
            f"{source}: '{CONFIG_NAME}' cannot be read (it must be a table, not a {type(config).__name__})"
        )
    return config


def is_flexibert(config: dict[str, Any]) -> bool:
    """Whether what stands in a ``config.json`` is of a FlexiBERT, ours or the original code's."""
    return config.get("model_type") == FlexiBERTConfig.model_type or "attention_heads_list" in config
