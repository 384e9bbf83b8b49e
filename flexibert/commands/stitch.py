"""Stitches two models of one vocabulary and depth side by side into one folder."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from design_space.command import below_home

from ..morphisms.stitching import LAYERNORMS, random_like, stitch
from .model_folders import (
    add_text_arguments,
    check_target,
    check_tokenizers,
    load_model,
    save_model,
    seed,
    summary,
    text_inputs,
)

RANDOM = "random"


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of ``python -m flexibert stitch``."""
    parser.add_argument("first", type=Path, help="folder of a FlexiBERT or BERT model")
    parser.add_argument("second", help=f"folder of another, or '{RANDOM}' for random weights of the first's shape")
    parser.add_argument("target", type=Path, help="folder to write; must not exist")
    parser.add_argument("--layernorm", choices=LAYERNORMS, default="grouped", help="how the joint width is normalised")
    parser.add_argument("--epsilon", type=float, default=0.0, help="constant in off-diagonal blocks")
    parser.add_argument("--noise_std", type=float, default=0.0, help="standard deviation of noise there instead")
    parser.add_argument("--seed", type=seed, default=0, help="of noise and random weights")
    add_text_arguments(parser)


def run(arguments: Namespace) -> None:
    """Stitch, write, and say what became of parameters and loss."""
    check_target(arguments.target)
    first = load_model(arguments.first)
    inputs = text_inputs(arguments, arguments.first, first.config.max_position_embeddings)
    if arguments.second == RANDOM:
        second = random_like(first, seed=arguments.seed)
    else:
        folder = below_home(arguments.second)
        second = load_model(folder)
        check_tokenizers(arguments.first, folder)
    stitched = stitch(
        first,
        second,
        epsilon=arguments.epsilon,
        noise_std=arguments.noise_std,
        layernorm=arguments.layernorm,
        seed=arguments.seed,
    )
    models = {"first": first, "second": second, "stitched": stitched}
    lines = summary(models, inputs, written=str(arguments.target.resolve()))
    save_model(stitched, arguments.target, arguments.first)
    print(lines)
