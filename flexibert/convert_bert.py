"""``convert_bert``: a Hugging Face BERT folder to a FlexiBERT folder, and back; the direction follows from the source.

The head that ``config.json`` names under ``architectures`` comes along, and so do the tokenizer's files. What
``--check`` compares are the two folders as they are on disk.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from transformers import AutoConfig

from design_space.command import CommandOptions, read_options, run_command
from design_space.options import ARGUMENT, Place, Switch, options

from .checkpoints.validation import UNREADABLE, contradictions, damage
from .conversion.bert import CLASSES, from_bert, largest_difference, to_bert

LARGEST_DIFFERENCE = 1e-5
ENCODER = re.compile(r"(bert\.)?(embeddings|encoder)\.")
TOKENIZER_FILES = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def convert(source: Path, target: Path, *, check: bool = False) -> float | None:
    """Write the model in ``source`` to ``target`` in the other family's format.

    Args:
        source: folder of a BERT or a FlexiBERT.
        target: folder to make; written whole or not at all.
        check: load both folders again and compare their outputs.

    Returns:
        With ``check`` the largest absolute difference of any output, else None.

    Raises:
        ValueError: when there is nothing of that kind in ``source``, ``target`` exists, its parent does not, or the
            outputs differ by more than 1e-5.
    """
    check_target(target)
    model, is_bert = load(source)
    converted = from_bert(model) if is_bert else to_bert(model)
    with new_folder(converted, target, tokenizer_from=source) as folder:
        difference = largest_difference(load(source)[0], load(folder)[0]) if check else None
        if difference is not None and not difference <= LARGEST_DIFFERENCE:
            raise ValueError(f"{source}: outputs differ by {difference:.1e} after conversion; nothing was written")
    return difference


def check_target(target: Path) -> None:
    """Raises ``ValueError`` when the folder exists; to be asked before long work."""
    if target.exists():
        raise ValueError(f"{target.resolve()}: exists already; name a folder that does not")


@contextmanager
def new_folder(model: Any, target: Path, *, tokenizer_from: Path) -> Iterator[Path]:
    """Write the model, and the tokenizer of another folder, to ``target``: whole or, where the body of ``with`` fails,
    not at all. The body gets the folder as it is before it is put in its place.

    Raises:
        ValueError: when ``target`` exists.
    """
    target = target.resolve()
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".flexibert-") as temporary:
        folder = Path(temporary) / "model"
        model.save_pretrained(folder)
        for name in TOKENIZER_FILES:
            if (tokenizer_from / name).exists():
                shutil.copy2(tokenizer_from / name, folder / name)
        yield folder
        folder.rename(target)


def load(folder: Path) -> tuple[Any, bool]:
    """The model in a folder, in the class its ``config.json`` names, and whether it is a BERT of transformers. An
    encoder without a head whose weights have no pooler is one without."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: is not a model folder; it must hold 'config.json' and weights")
    config = AutoConfig.from_pretrained(folder)
    is_original = hasattr(config, "attention_heads_list")
    is_bert = config.model_type == "bert" and not is_original
    classes = {model_class.__name__: model_class for model_class in (CLASSES if is_bert else CLASSES.values())}
    default = "BertModel" if is_bert else "FlexiBERTModel"
    name = (config.architectures or [default])[0]
    if is_original and name not in classes:  # "BertModelModular"
        name = f"Flexi{name.removesuffix('Modular').replace('Bert', 'BERT')}"
    if name not in classes:
        raise ValueError(f"{folder}: 'architectures' must name one of {', '.join(classes)}. Got {name!r}")
    options = {"ignore_mismatched_sizes": True} if is_bert else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # parts that the folder lacks are the same each time
        try:
            model, found = classes[name].from_pretrained(folder, dtype="auto", output_loading_info=True, **options)  # type: ignore[attr-defined]
        except UNREADABLE as error:
            why = damage(error, folder) or f"{folder}: the model cannot be loaded ({type(error).__name__}: {error})"
            raise ValueError(why) from error
    _check_encoder(folder, found)
    if {"pooler.dense.weight", "pooler.dense.bias"} <= set(found["missing_keys"]):  # with a head: "bert.pooler."
        model.pooler = None
    return model, is_bert


def _check_encoder(folder: Path, found: Mapping[str, Any]) -> None:
    """Refuses weights of other shapes and encoders of which parts are missing, by what ``from_pretrained`` found. A
    pooler below a head, or a head, that is missing starts at random, of which ``transformers`` tells.
    """
    problems = contradictions(
        filter(ENCODER.match, found["missing_keys"]),
        [name for name in found["unexpected_keys"] if ENCODER.match(name) and not name.endswith("position_ids")],
        found["mismatched_keys"],
    )
    if problems is not None:
        raise ValueError(f"{folder}: the weights {problems}")


@options
class ConvertOptions(CommandOptions):
    """Converts a Hugging Face BERT folder to a FlexiBERT folder, or back."""

    prog: ClassVar[str] = "convert_bert"
    source: Annotated[Place, ARGUMENT]
    """Folder of a BERT or FlexiBERT model."""
    target: Annotated[Place, ARGUMENT]
    """Folder to write; must not exist."""
    check: Switch = False
    """Compare the outputs of both folders."""


def convert_command(arguments: Sequence[str] | None = None) -> None:
    """Read the options and convert."""
    options = read_options(ConvertOptions, arguments)
    source, target = options.source.resolve(), options.target.resolve()
    difference = convert(source, target, check=options.check)
    print(f"{source} -> {target}")
    if difference is not None:
        print(f"largest output difference {difference:.1e}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``convert_bert``."""
    run_command(convert_command, arguments)


if __name__ == "__main__":
    main()
