"""Files at the edge: written whole or not at all, and YAML read without its surprises.

Every room writes and reads through here, so that a crash never leaves half a file and a misspelt key is never
silently ignored.
"""

import difflib
import os
import secrets
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml


def write_atomically(path: Path | str, content: str | bytes | memoryview) -> None:
    """Write text (as UTF-8) or bytes to ``path`` by way of a temporary neighbour; readers see the old file or the new
    one, never a part."""
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:  # by the user's umask, as any other file
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_writable(folder: Path | str) -> None:
    """A check that files can be written into a folder, before work that ends in one. Raises ``ValueError``."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to: {error.strerror}") from error


def read_yaml(path: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ValueError: when the file is missing, is no YAML, holds no mapping, or repeats a key.
    """
    path = Path(path).absolute()
    try:
        content = yaml.load(read_text(path, "a YAML file"), Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a mapping (key: value). Got {type(content).__name__}")
    return content


def read_text(path: Path, needed: str) -> str:
    """The text of a file, line ends as they are, without a byte-order mark.

    Raises:
        ValueError: when it is missing, a folder where ``needed`` should be, or not UTF-8, with the line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"No such file: {path}") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; {needed} is needed") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line} is not UTF-8 text ({error.reason}). Save the file as UTF-8") from None


def unknown_keys(found: Iterable[object], known: Collection[str], where: str) -> list[str]:
    """One complaint per key of ``found`` that is not in ``known``, with the nearest known one."""
    return [f"Unknown key '{key}' in {where}. {nearest_name(str(key), known)}" for key in found if key not in known]


def nearest_name(name: str, known: Collection[str]) -> str:
    """``Did you mean 'x'? Allowed: ...`` for a misspelt name."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    allowed = f"Allowed: {', '.join(known)}"
    return f"Did you mean '{close[0]}'? {allowed}" if close else allowed


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (YAML keeps the last one silently)."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
    if repeated:
        raise yaml.constructor.ConstructorError(
            None, None, f"key given more than once: {', '.join(repeated)}", node.start_mark
        )
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
