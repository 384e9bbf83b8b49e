"""Models read from folders and the Hub, whole or not at all, and written to folders likewise.

The class is the one that ``config.json`` names under ``architectures``; no part of an encoder starts at random.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ..checkpoints.validation import contradictions, damage
from .bert import CLASSES
from .families import family_of
from .family import Family
from .sources import Source, file_of, is_flexibert, read_config

ENCODER = re.compile(r"(\w+\.)?(embeddings|embeddings_project|encoder|transformer)\.")
WORD_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model")
TOKENIZER_FILES = (
    *WORD_FILES,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


class Loaded(NamedTuple):
    """A model as it was found.

    Attributes:
        model: in the class that was asked for.
        family: of transformers that it is of; None for a FlexiBERT.
        config: what stands in its ``config.json``.
    """

    model: Any
    family: Family | None
    config: dict[str, Any]


def load(source: Source, *, is_encoder: bool = False, revision: str | None = None) -> Loaded:
    """The model in a folder or on the Hub. An encoder without a head whose weights have no pooler is one without.

    Args:
        is_encoder: leave out the task head, whichever it is.
        revision: of a model on the Hub.

    Raises:
        ValueError: when there is none of a known family, or it cannot be read.
    """
    config = read_config(source, revision)
    family = None if is_flexibert(config) else family_of(config.get("model_type"), where=f"{source}: ")
    model_class = _class_of(source, config, family, is_encoder)
    options = {"ignore_mismatched_sizes": True} if family is not None else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # parts that the folder lacks are the same each time
        try:
            model, found = model_class.from_pretrained(
                source, dtype="auto", output_loading_info=True, revision=revision, **options
            )
        except Exception as error:  # damaged files, and a config.json of another shape, may end in anything
            why = damage(error, source) or f"{source}: the model cannot be loaded ({type(error).__name__}: {error})"
            raise ValueError(why) from error
    _check_encoder(source, found)
    if {"pooler.dense.weight", "pooler.dense.bias"} <= set(found["missing_keys"]):  # with a head: "bert.pooler."
        model.pooler = None
    return Loaded(model, family, config)


def _class_of(source: Source, config: Mapping[str, Any], family: Family | None, is_encoder: bool) -> Any:
    known = CLASSES.values() if family is None else family.classes
    classes = {model_class.__name__: model_class for model_class in known}
    default = next(iter(classes))
    if is_encoder:
        return classes[default]
    names = config.get("architectures") or [default]
    if not isinstance(names, list) or not isinstance(names[0], str):
        raise ValueError(f"{source}: 'architectures' of config.json must be a list of names. Got {names!r}")
    name = names[0]
    if family is None and name not in classes:  # the original code's "BertModelModular"
        name = f"Flexi{name.removesuffix('Modular').replace('Bert', 'BERT')}"
    if name not in classes:
        raise ValueError(f"{source}: 'architectures' must name one of {', '.join(classes)}. Got {name!r}")
    return classes[name]


def _check_encoder(source: Source, found: Mapping[str, Any]) -> None:
    """Refuses weights of other shapes and encoders of which parts are missing, by what ``from_pretrained`` found. A
    pooler below a head, or a head, that is missing starts at random, of which ``transformers`` tells.
    """
    problems = contradictions(
        filter(ENCODER.match, found["missing_keys"]),
        [name for name in found["unexpected_keys"] if ENCODER.match(name) and not name.endswith("position_ids")],
        found["mismatched_keys"],
    )
    if problems is not None:
        raise ValueError(f"{source}: the weights {problems}")


def load_tokenizer(source: Source, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder or on the Hub.

    Raises:
        ValueError: when there is none, or it cannot be read.
    """
    if not any(file_of(source, name, revision) for name in WORD_FILES):
        raise ValueError(f"{source}: holds no tokenizer; it must be there as one of {', '.join(WORD_FILES)}")
    try:
        return AutoTokenizer.from_pretrained(source, revision=revision)
    except Exception as error:  # what reads damaged files of words may end in anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{source}: the tokenizer cannot be read ({type(error).__name__}: {reason})") from error


def check_target(target: Path) -> None:
    """Raises ``ValueError`` when the folder exists or cannot be made; to be asked before long work."""
    if target.exists():
        raise ValueError(f"{target.resolve()}: exists already; name a folder that does not")
    above = next(parent for parent in target.resolve().parents if parent.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise ValueError(f"{target.resolve()}: cannot be made; {above} must be a folder that you may write to")


@contextmanager
def new_folder(model: Any, target: Path, *, tokenizer_from: Path | None = None) -> Iterator[Path]:
    """Write the model, and the tokenizer of another folder where it has one, to ``target``: whole or, where the body of
    ``with`` fails, not at all. The body gets the folder as it is before it is put in its place.

    Raises:
        ValueError: when ``target`` exists.
    """
    target = target.resolve()
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".flexibert-") as temporary:
        folder = Path(temporary) / "model"
        model.save_pretrained(folder)
        if tokenizer_from is not None:
            _keep_tokenizer(tokenizer_from, folder)
        yield folder
        folder.rename(target)


def _keep_tokenizer(source: Path, folder: Path) -> None:
    """From a FlexiBERT folder, the files as they are. Of other families it is their ``config.json`` that may say which
    class reads them: there the tokenizer is written anew, with its class."""
    names = [name for name in TOKENIZER_FILES if (source / name).exists()]
    if set(names) & set(WORD_FILES) and not is_flexibert(read_config(source)):
        load_tokenizer(source).save_pretrained(folder)
        return
    for name in names:
        shutil.copy2(source / name, folder / name)
