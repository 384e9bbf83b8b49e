"""``convert_bert``: a folder of a BERT, or of another known family, to a FlexiBERT folder, and a FlexiBERT folder to a
BERT's; the direction follows from the source.

The head that ``config.json`` names under ``architectures`` comes along where it has a counterpart, and so does the
tokenizer. What ``--check`` compares are the two folders as they are on disk.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from design_space.command import CommandOptions, read_options, run_command
from design_space.options import ARGUMENT, Place, Switch, options

from .conversion.bert import to_bert
from .conversion.differences import largest_difference
from .conversion.families import from_transformers, part_with_counterpart
from .conversion.folders import check_target, load, new_folder
from .conversion.origin import keep_origin, origin_of

LARGEST_DIFFERENCE = 1e-5


def convert(source: Path, target: Path, *, check: bool = False) -> float | None:
    """Write the model in ``source`` to ``target`` in the other family's format.

    Args:
        source: folder of a FlexiBERT, or of an encoder of another known family.
        target: folder to make; written whole or not at all.
        check: load both folders again and compare their outputs.

    Returns:
        With ``check`` the largest absolute difference of any output, else None.

    Raises:
        ValueError: when there is nothing of that kind in ``source``, ``target`` exists, its parent does not, or the
            outputs differ by more than 1e-5.
    """
    check_target(target)
    model, family, config = load(source)
    converted: Any = to_bert(model) if family is None else from_transformers(model)
    if family is not None:
        keep_origin(converted, origin_of(source, config))
    with new_folder(converted, target, tokenizer_from=source) as folder:
        difference = _difference(source, folder) if check else None
        if difference is not None and not difference <= LARGEST_DIFFERENCE:
            raise ValueError(f"{source}: outputs differ by {difference:.1e} after conversion; nothing was written")
    return difference


def _difference(source: Path, target: Path) -> float:
    """Between models in two folders; a head that only the source has does not count."""
    model, family, _ = load(source)
    return largest_difference(model if family is None else part_with_counterpart(model), load(target).model)


@options
class ConvertOptions(CommandOptions):
    """Converts a folder of BERT, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT or ELECTRA to a FlexiBERT folder, or a
    FlexiBERT folder to BERT's format."""

    prog: ClassVar[str] = "convert_bert"
    source: Annotated[Place, ARGUMENT]
    """Folder of a model of one of these families, or of FlexiBERT."""
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
