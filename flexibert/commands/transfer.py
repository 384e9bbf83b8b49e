"""Starts an architecture from the weights of a trained model."""

from typing import Annotated, ClassVar

from design_space import ModelSpec
from design_space.command import CommandOptions
from design_space.files import parse_json, read_text
from design_space.options import ARGUMENT, OneOf, Place, Whole, below_home, options

from ..conversion.folders import check_target
from ..model.configuration_flexibert import TRANSFER_MODES
from ..morphisms.assembly import built_like
from .examples import ExampleOptions, read_examples
from .model_folders import LossOptions, load_model, save_model, summary, text_inputs


@options
class Options(CommandOptions):
    """Starts an architecture from the weights of a trained model."""

    prog: ClassVar[str] = "python -m flexibert transfer"
    source: Annotated[Place, ARGUMENT]
    """Folder of a FlexiBERT or BERT model."""
    architecture: Annotated[str, ARGUMENT]
    """JSON file with a model dict, or the model dict itself."""
    target: Annotated[Place, ARGUMENT]
    """Folder to write; must not exist."""
    transfer_mode: Annotated[str, OneOf(TRANSFER_MODES)] = TRANSFER_MODES[0]
    """How weights are fitted."""
    seed: Whole = 0
    """Seed of projections and of weights without a counterpart."""
    loss: LossOptions = LossOptions()
    rows: ExampleOptions = ExampleOptions()


def run(options: Options) -> None:
    """Transfer, write, and say what became of parameters and loss."""
    check_target(options.target)
    spec = _spec(options.architecture)
    source = load_model(options.source)
    inputs = text_inputs(options.loss, options.source, source.config.max_position_embeddings)
    labelled = read_examples(options.rows, source, options.source)
    target = built_like(source, spec, options.seed)
    target.transfer_mode = options.transfer_mode
    overlap = target.load_model_from_source(source, seed=options.seed)
    figures = {"overlap": f"{overlap:.4f}"} | (labelled.figures(source, target) if labelled else {})
    figures["written"] = str(options.target.resolve())
    lines = summary({"source": source, "target": target}, inputs, **figures)
    save_model(target, options.target, options.source)
    print(lines)


def _spec(text: str) -> ModelSpec:
    """Raises ``ValueError`` when the text is neither a file nor JSON, or describes no architecture."""
    is_inline = text.lstrip().startswith("{")
    written = text if is_inline else read_text(below_home(text), "a JSON file")
    try:
        model_dict = parse_json(written)
    except ValueError as error:
        raise ValueError(f"{'the model dict' if is_inline else text}: is not JSON: {error}") from error
    return ModelSpec.from_dict(model_dict)
