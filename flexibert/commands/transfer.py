"""Starts an architecture from the weights of a trained model."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from design_space import ModelSpec
from design_space.command import below_home

from ..model.configuration_flexibert import TRANSFER_MODES
from ..morphisms.assembly import built_like
from .model_folders import add_text_arguments, check_target, load_model, save_model, seed, summary, text_inputs


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of ``python -m flexibert transfer``."""
    parser.add_argument("source", type=Path, help="folder of a FlexiBERT or BERT model")
    parser.add_argument("architecture", help="JSON file with a model dict, or the model dict itself")
    parser.add_argument("target", type=Path, help="folder to write; must not exist")
    parser.add_argument(
        "--transfer_mode", choices=TRANSFER_MODES, default=TRANSFER_MODES[0], help="how weights are fitted"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of projections and of weights without a counterpart")
    add_text_arguments(parser)


def run(arguments: Namespace) -> None:
    """Transfer, write, and say what became of parameters and loss."""
    check_target(arguments.target)
    spec = _spec(arguments.architecture)
    source = load_model(arguments.source)
    inputs = text_inputs(arguments, arguments.source, source.config.max_position_embeddings)
    target = built_like(source, spec, arguments.seed)
    target.transfer_mode = arguments.transfer_mode
    overlap = target.load_model_from_source(source, seed=arguments.seed)
    figures = {"overlap": f"{overlap:.4f}", "written": str(arguments.target.resolve())}
    lines = summary({"source": source, "target": target}, inputs, **figures)
    save_model(target, arguments.target, arguments.source)
    print(lines)


def _spec(text: str) -> ModelSpec:
    """Raises ``ValueError`` when the text is neither a file nor JSON, or describes no architecture."""
    is_inline = text.lstrip().startswith("{")
    try:
        written = text if is_inline else below_home(text).read_text(encoding="utf-8")
        return ModelSpec.from_dict(json.loads(written))
    except json.JSONDecodeError as error:
        raise ValueError(f"{'the model dict' if is_inline else text}: is not JSON: {error}") from error
