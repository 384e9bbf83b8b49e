"""What a folder of sentence-transformers says of how token states become a sentence's vector."""

from typing import Any, NamedTuple

from ..model.configuration_flexibert import POOLINGS
from .sources import Source, file_of, read_json

# The flags of versions before 6, which writes ``pooling_mode``.
FLAGS = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
# Modules that a model for other tasks goes without.
WITHOUT_WEIGHTS = ("Transformer", "Pooling", "Normalize")


class SentenceVectors(NamedTuple):
    """How sentences become vectors.

    Attributes:
        pooling: as the option of ``FlexiBERTConfig``; None where nothing is said, or something else.
        notes: sentences on what ours do not have.
    """

    pooling: str | None = None
    notes: tuple[str, ...] = ()


def sentence_vectors(source: Source, revision: str | None = None) -> SentenceVectors:
    """What ``modules.json`` and the folder of the pooling say.

    Raises:
        ValueError: when one of these files cannot be read.
    """
    modules = _read(source, "modules.json", revision)
    if modules is None:
        return SentenceVectors()
    try:
        kinds = {str(module["type"]).rpartition(".")[2]: str(module["path"]) for module in modules}
    except (TypeError, KeyError) as error:
        raise ValueError(f"{source}: 'modules.json' must list modules, each with 'type' and 'path'") from error
    notes = [f"Its {kind} layer after the pooling is dropped." for kind in kinds if kind not in WITHOUT_WEIGHTS]
    if "Pooling" not in kinds:
        return SentenceVectors(None, tuple(notes))
    modes = _modes(_read(source, f"{kinds['Pooling']}/config.json", revision) or {})
    if len(modes) == 1 and modes[0] in POOLINGS:
        return SentenceVectors(modes[0], tuple(notes))
    notes.append(f"Its sentence vectors are pooled by {' and '.join(modes)}, which ours are not.")
    return SentenceVectors(None, tuple(notes))


def _modes(config: dict[str, Any]) -> list[str]:
    """The names of the ways that states are pooled, whose results lie side by side; the mean where nothing is said."""
    if "pooling_mode" in config:
        given = config["pooling_mode"]
        return [given] if isinstance(given, str) else list(map(str, given))
    flags = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    return [FLAGS.get(name, name.removeprefix("pooling_mode_")) for name in flags] or ["mean"]


def _read(source: Source, name: str, revision: str | None) -> Any:
    """The content of a JSON file, or None where there is none."""
    file = file_of(source, name, revision)
    return None if file is None else read_json(file, source)
