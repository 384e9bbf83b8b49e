"""Merges pairs of layers of a model into one layer each."""

from typing import Annotated, ClassVar

from design_space.command import CommandOptions
from design_space.options import ARGUMENT, Only, Place, options

from ..conversion.folders import check_target
from ..morphisms.layer_merging import merge_layers
from .examples import ExampleOptions, read_examples
from .model_folders import (
    LearningOptions,
    LossOptions,
    load_larger,
    load_model,
    save_model,
    summary,
    text_inputs,
    training_inputs,
)


@options
class Options(CommandOptions):
    """Merges pairs of layers of a model into one layer each."""

    prog: ClassVar[str] = "python -m flexibert merge-layers"
    source: Annotated[Place, ARGUMENT]
    """Folder of a FlexiBERT or BERT model, the teacher."""
    target: Annotated[Place, ARGUMENT]
    """Folder to write; must not exist."""
    pairs: tuple[str, ...] | None = None
    """Pairs such as 0-1 4-5; every second one when not given."""
    learning: LearningOptions
    loss: LossOptions = LossOptions()
    rows: Annotated[ExampleOptions, Only(("examples", "max_examples"))] = ExampleOptions()


def run(options: Options) -> None:
    """Merge, write, and say what became of parameters and loss."""
    check_target(options.target)
    learning = options.learning
    pairs = None if options.pairs is None else [_pair(text) for text in options.pairs]
    teacher = load_model(options.source)
    inputs = text_inputs(options.loss, options.source, teacher.config.max_position_embeddings)
    labelled = read_examples(options.rows, teacher, options.source)
    models, larger = {"teacher": teacher}, load_larger(learning.larger, teacher, options.source)
    batches, training = training_inputs(
        learning, options.loss.block_length, options.source, teacher.config.max_position_embeddings
    )
    models["merged"] = merge_layers(
        teacher,
        batches,
        pairs=pairs,
        num_heads=learning.num_heads,
        head_size=learning.head_size,
        training=training,
    )
    models |= larger
    figures = labelled.figures(teacher, models["merged"]) if labelled else {}
    lines = summary(models, inputs, **figures, written=str(options.target.resolve()))
    save_model(models["merged"], options.target, options.source)
    print(lines)


def _pair(text: str) -> tuple[int, int]:
    first, _, second = text.partition("-")
    if not (first.isdecimal() and second.isdecimal()):
        raise ValueError(f"'--pairs' are written first-second, as in 0-1. Got {text!r}")
    return int(first), int(second)
