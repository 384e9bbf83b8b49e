"""Merges pairs of layers of a model into one layer each."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..morphisms.layer_merging import merge_layers
from .model_folders import (
    add_text_arguments,
    add_training_arguments,
    check_target,
    load_larger,
    load_model,
    save_model,
    summary,
    text_inputs,
    training_inputs,
)


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of ``python -m flexibert merge-layers``."""
    parser.add_argument("source", type=Path, help="folder of a FlexiBERT or BERT model, the teacher")
    parser.add_argument("target", type=Path, help="folder to write; must not exist")
    parser.add_argument("--pairs", nargs="+", default=None, help="pairs such as 0-1 4-5; default: every second one")
    add_training_arguments(parser)
    add_text_arguments(parser)


def run(arguments: Namespace) -> None:
    """Merge, write, and say what became of parameters and loss."""
    check_target(arguments.target)
    pairs = None if arguments.pairs is None else [_pair(text) for text in arguments.pairs]
    teacher = load_model(arguments.source)
    inputs = text_inputs(arguments, arguments.source, teacher.config.max_position_embeddings)
    models, larger = {"teacher": teacher}, load_larger(arguments, teacher)
    batches, training = training_inputs(arguments, arguments.source, teacher.config.max_position_embeddings)
    models["merged"] = merge_layers(
        teacher,
        batches,
        pairs=pairs,
        num_heads=arguments.num_heads,
        head_size=arguments.head_size,
        training=training,
    )
    models |= larger
    lines = summary(models, inputs, written=str(arguments.target.resolve()))
    save_model(models["merged"], arguments.target, arguments.source)
    print(lines)


def _pair(text: str) -> tuple[int, int]:
    first, _, second = text.partition("-")
    if not (first.isdecimal() and second.isdecimal()):
        raise ValueError(f"'--pairs' are written first-second, as in 0-1. Got {text!r}")
    return int(first), int(second)
