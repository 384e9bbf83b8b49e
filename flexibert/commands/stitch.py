"""Stitches two models of one vocabulary and depth side by side into one folder."""

from typing import Annotated, ClassVar, Literal

from design_space.command import CommandOptions
from design_space.options import ARGUMENT, Number, Place, Whole, below_home, options

from ..conversion.folders import check_target
from ..morphisms.stitching import random_like, stitch
from .model_folders import (
    LossOptions,
    check_tokenizers,
    load_model,
    save_model,
    summary,
    text_inputs,
)

RANDOM = "random"


@options
class Options(CommandOptions):
    """Stitches two models of one vocabulary and depth side by side into one folder."""

    prog: ClassVar[str] = "python -m flexibert stitch"
    first: Annotated[Place, ARGUMENT]
    """Folder of a FlexiBERT or BERT model."""
    second: Annotated[str, ARGUMENT]
    """Folder of another, or 'random' for random weights of the first's shape."""
    target: Annotated[Place, ARGUMENT]
    """Folder to write; must not exist."""
    layernorm: Literal["grouped", "concat", "skip"] = "grouped"
    """How the joint width is normalised."""
    epsilon: Number = 0.0
    """Constant in off-diagonal blocks."""
    noise_std: Number = 0.0
    """Standard deviation of noise in off-diagonal blocks, instead of a constant."""
    seed: Whole = 0
    """Seed of noise and random weights."""
    loss: LossOptions = LossOptions()


def run(options: Options) -> None:
    """Stitch, write, and say what became of parameters and loss."""
    check_target(options.target)
    first = load_model(options.first)
    inputs = text_inputs(options.loss, options.first, first.config.max_position_embeddings)
    if options.second == RANDOM:
        second = random_like(first, seed=options.seed)
    else:
        folder = below_home(options.second)
        second = load_model(folder)
        check_tokenizers(options.first, folder)
    stitched = stitch(
        first,
        second,
        epsilon=options.epsilon,
        noise_std=options.noise_std,
        layernorm=options.layernorm,
        seed=options.seed,
    )
    models = {"first": first, "second": second, "stitched": stitched}
    lines = summary(models, inputs, written=str(options.target.resolve()))
    save_model(stitched, options.target, options.first)
    print(lines)
