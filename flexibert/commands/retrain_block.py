"""Retrains attention blocks of a model, each on its own, and puts them together."""

from typing import Annotated, ClassVar, Literal

from design_space.command import CommandOptions
from design_space.options import ARGUMENT, Place, Whole, options

from ..conversion.folders import check_target
from ..morphisms.block_retraining import check_teacher, combine_blocks, retrain_block
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
    """Retrains attention blocks of a model, each on its own, and puts them together."""

    prog: ClassVar[str] = "python -m flexibert retrain-block"
    source: Annotated[Place, ARGUMENT]
    """Folder of a FlexiBERT or BERT model, the teacher."""
    target: Annotated[Place, ARGUMENT]
    """Folder to write; must not exist."""
    blocks: tuple[Whole, ...] | None = None
    """Layers, from 0; all when not given."""
    objective: Literal["mse", "outputs", "scores"] = "mse"
    """What the blocks learn by."""
    learning: LearningOptions
    loss: LossOptions = LossOptions()


def run(options: Options) -> None:
    """Retrain, write, and say what became of parameters and loss."""
    check_target(options.target)
    learning = options.learning
    teacher = load_model(options.source)
    inputs = text_inputs(options.loss, options.source, teacher.config.max_position_embeddings)
    indices = range(teacher.config.num_hidden_layers) if options.blocks is None else options.blocks
    check_teacher(teacher, indices)
    models, larger = {"teacher": teacher}, load_larger(learning.larger, teacher, options.source)
    batches, training = training_inputs(
        learning, options.loss.block_length, options.source, teacher.config.max_position_embeddings
    )
    blocks = [
        retrain_block(
            teacher,
            index,
            batches,
            num_heads=learning.num_heads,
            head_size=learning.head_size,
            objective=options.objective,
            training=training,
        )
        for index in indices
    ]
    models["retrained"] = combine_blocks(teacher, blocks)
    models |= larger
    figures = {f"block {block.index}": f"loss {block.losses[0]:.4g} -> {block.losses[-1]:.4g}" for block in blocks}
    lines = summary(models, inputs, **figures, written=str(options.target.resolve()))
    save_model(models["retrained"], options.target, options.source)
    print(lines)
