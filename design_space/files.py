"""Files at the edge: written whole or not at all, and YAML and JSON read without their surprises.

Every room writes and reads through here, so that a crash never leaves half a file, a misspelt key is never silently
ignored, and a file of another shape than its format's ends in a message.
"""

import difflib
import json
import os
import secrets
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml

MOST_YAML_BYTES = 1_000_000
"""A larger file is no list of options: reading it would take minutes."""
MOST_YAML_VALUES = 100_000
"""Of one file, with every alias written out: a few lines of these can stand for more than memory holds."""


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
        ValueError: when the file is missing, is no YAML, holds no mapping, is too large, or repeats a key.
    """
    path = Path(path).absolute()
    text = read_text(path, "a YAML file")
    if len(text) > MOST_YAML_BYTES:
        raise ValueError(f"{path} is too large for a YAML file: at most {MOST_YAML_BYTES:,} characters are read")
    try:
        content = yaml.load(text, Loader=_StrictLoader)
    except RecursionError:
        raise ValueError(f"{path} is not valid YAML: it is nested too deeply") from None
    # Values with a tag, such as "!!bool 7", end in whatever the conversion ends in.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a mapping (key: value). Got {type(content).__name__}")
    _check_size(content, path)
    return content


def read_json(path: Path | str) -> Any:
    """What a JSON file holds. Raises ``ValueError`` when it is missing, or no JSON."""
    path = Path(path).absolute()
    text = read_text(path, "a JSON file")
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path} is damaged or cut off ({error})") from error


def parse_json(text: str | bytes) -> Any:
    """The value that a text is. Raises ``ValueError`` when it is no JSON, with the reason."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_text(path: Path, needed: str) -> str:
    """The text of a file, line ends as they are, without a byte-order mark.

    Raises:
        ValueError: when it is missing, a folder where ``needed`` should be, or not UTF-8 (or with NUL characters, as
            UTF-16 read so has), with the line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"No such file: {path}") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; {needed} is needed") from None
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise ValueError(f"{path}, line {line} is not UTF-8 text (a NUL character). Save the file as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line} is not UTF-8 text ({error.reason}). Save the file as UTF-8") from None


def unknown_keys(found: Iterable[object], known: Collection[str], where: str) -> list[str]:
    """One complaint per key of ``found`` that is not in ``known``, with the nearest known one."""
    strange = [str(key)[:80] for key in found if key not in known]
    return [f"Unknown key '{key}' in {where}. {nearest_name(key, known)}" for key in strange]


def short(value: Any) -> str:
    """A value as a message shows it."""
    try:
        shown = repr(value)
    except ValueError:  # a whole number of thousands of digits
        shown = f"a number of {value.bit_length():,} bits" if isinstance(value, int) else type(value).__name__
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def nearest_name(name: str, known: Collection[str]) -> str:
    """``Did you mean 'x'? Allowed: ...`` for a misspelt name."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    allowed = f"Allowed: {', '.join(known)}"
    return f"Did you mean '{close[0]}'? {allowed}" if close else allowed


def _check_size(content: Any, path: Path) -> None:
    """Refuses what is too large once its aliases are written out, without writing them out."""
    left, count = [content], 0
    while left and count <= MOST_YAML_VALUES:
        value = left.pop()
        count += 1
        if isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list | tuple | set):
            left += value
    if left:
        raise ValueError(f"{path} holds more than {MOST_YAML_VALUES:,} values")


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (YAML keeps the last one silently)."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
    repeated = sorted(key for key, count in counts.items() if count > 1)
    if repeated:
        raise yaml.constructor.ConstructorError(
            None, None, f"key given more than once: {', '.join(repeated)}", node.start_mark
        )
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
