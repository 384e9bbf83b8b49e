"""Retrains attention blocks of a model, each on its own, and puts them together."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..morphisms.block_retraining import OBJECTIVES, check_teacher, combine_blocks, retrain_block
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
    """The flags of ``python -m flexibert retrain-block``."""
    parser.add_argument("source", type=Path, help="folder of a FlexiBERT or BERT model, the teacher")
    parser.add_argument("target", type=Path, help="folder to write; must not exist")
    parser.add_argument("--blocks", type=int, nargs="+", default=None, help="layers, from 0; default: all")
    parser.add_argument("--objective", choices=OBJECTIVES, default="mse", help="what the blocks learn by")
    add_training_arguments(parser)
    add_text_arguments(parser)


def run(arguments: Namespace) -> None:
    """Retrain, write, and say what became of parameters and loss."""
    check_target(arguments.target)
    teacher = load_model(arguments.source)
    inputs = text_inputs(arguments, arguments.source, teacher.config.max_position_embeddings)
    indices = range(teacher.config.num_hidden_layers) if arguments.blocks is None else arguments.blocks
    check_teacher(teacher, indices)
    models, larger = {"teacher": teacher}, load_larger(arguments, teacher)
    batches, training = training_inputs(arguments, arguments.source, teacher.config.max_position_embeddings)
    blocks = [
        retrain_block(
            teacher,
            index,
            batches,
            num_heads=arguments.num_heads,
            head_size=arguments.head_size,
            objective=arguments.objective,
            training=training,
        )
        for index in indices
    ]
    models["retrained"] = combine_blocks(teacher, blocks)
    models |= larger
    figures = {f"block {block.index}": f"loss {block.losses[0]:.4g} -> {block.losses[-1]:.4g}" for block in blocks}
    lines = summary(models, inputs, **figures, written=str(arguments.target.resolve()))
    save_model(models["retrained"], arguments.target, arguments.source)
    print(lines)
