"""A model as an ONNX file that takes any batch size and length, checked against PyTorch.

Shapes: B batch, S sequence, C choices of a multiple-choice model.
"""

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from design_space import Layer, ModelSpec

from ..model.heads import FlexiBERTForMultipleChoice
from ..model.modeling_flexibert import FlexiBERTModel
from .onnx_model import OnnxModel

TOLERANCE = 1e-4
"""Largest difference to PyTorch that is taken for rounding, as a share of the largest output where this is above 1."""

SCOPES = "pkg.torch.onnx.name_scopes"
"""By what key a node tells the modules that it is of."""

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_LENGTH = 17  # of the example that is traced
_NUM_CHOICES = 3


def check_packages() -> None:
    """Raises ``ValueError`` when what exports and runs ONNX files is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"To export, {' and '.join(missing)} must be installed: pip install 'flexibert-nas[export]'")


def write_onnx(model: Any, file: Path) -> float:
    """Write a model of text, with whichever head, as an ONNX file, and run it.

    Its inputs are ``input_ids``, ``attention_mask`` and, of models that know segments, ``token_type_ids``, each
    (B, S), or (B, C, S) for multiple choice; its outputs are the logits, by PyTorch's names and in its order.

    Returns:
        The largest difference to PyTorch over several batch sizes and lengths, some with padding.

    Raises:
        ValueError: when the exporter or ONNX Runtime knows not all that the model does, with the operations and layers
            that do it, or what is written differs.
    """
    was_training = model.training
    model.eval()
    try:
        _write(model, file)
        return _difference(model, file)
    except _UnwritableError as error:
        raise ValueError(f"The model cannot be written as ONNX: {_culprits(model, file) or error}") from error
    finally:
        model.train(was_training)


class _UnwritableError(Exception):
    """What writes or runs the file does not know an operation, or takes it for another one."""


def _culprits(model: Any, file: Path) -> str:
    """Which operations of the model cannot be written, each tried in a model of one layer; empty where all can."""
    found, spec = [], model.config.model_spec
    for kind in dict.fromkeys((head.operation, head.parameter) for layer in spec.layers for head in layer.heads):
        places = [
            number
            for number, layer in enumerate(spec.layers, start=1)
            if kind in {(head.operation, head.parameter) for head in layer.heads}
        ]
        layer = spec.layers[places[0] - 1]
        heads = tuple(head for head in layer.heads if (head.operation, head.parameter) == kind)
        is_standard = spec.format == "standard"
        alone = layer if is_standard else Layer(layer.hidden_size, heads[:1], layer.feed_forward[:1])
        config = copy.deepcopy(model.config)
        config.model_dict = ModelSpec((alone,), "standard" if is_standard else "hetero").to_dict()
        try:
            small = FlexiBERTModel(config).eval()
            _write(small, file)
            _difference(small, file)
        except _UnwritableError as error:
            where = f"layer{'s' if places[1:] else ''} {', '.join(map(str, places))}"
            name, parameter = kind
            found.append(
                f"operation '{name}' with parameter {parameter}, in {where}, does what is unknown there ({error})"
            )
    return "; ".join(found)


def _write(model: Any, file: Path) -> None:
    example = next(random_inputs(model, [(2, min(_LENGTH, model.config.max_position_embeddings))]))
    axes = ("batch", "choices", "length") if isinstance(model, FlexiBERTForMultipleChoice) else ("batch", "length")
    shapes = {name: dict(enumerate(axes)) for name in example}
    with torch.no_grad():
        outputs = list(logits_of(model, example))
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # else it tells which packages for images are not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (),
                kwargs=example,
                output_names=outputs,
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
                optimize=True,
            )
        assert program is not None
        _save(program.model_proto, file)
    except torch.onnx.errors.OnnxExporterError as error:
        raise _UnwritableError(_reason(error)) from error
    finally:
        logger.setLevel(level)


def _save(proto: Any, file: Path) -> None:
    """Without what the exporter notes beside every node, such as places in the code of this machine; but which module
    of the model it comes from."""
    import onnx  # an extra: only who exports needs it

    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.input, *proto.graph.output):
        kept = [entry for entry in part.metadata_props if entry.key == SCOPES]
        del part.metadata_props[:]
        part.metadata_props.extend(kept)
    del proto.graph.value_info[:]  # shapes on the way: a quantiser would take them for those of what it writes
    onnx.save(proto, file)


def _difference(model: Any, file: Path) -> float:
    longest, largest = model.config.max_position_embeddings, 0.0
    batches = list(random_inputs(model, [(1, 1), (2, min(9, longest)), (3, min(64, longest))]))
    try:
        runner = OnnxModel(file)
        outputs = [runner(inputs) for inputs in batches]
    except Exception as error:  # ONNX Runtime has a class for every reason
        raise _UnwritableError(_reason(error)) from error
    for inputs, of_file in zip(batches, outputs, strict=True):
        with torch.no_grad():
            expected = logits_of(model, inputs).values()
        for found, wanted in zip(of_file, expected, strict=True):
            if not wanted.isfinite().all():
                raise ValueError("The model's outputs must be finite numbers. Some of its weights are probably not")
            scale = max(1.0, float(wanted.abs().max()))
            difference = float((torch.from_numpy(found) - wanted).abs().max()) / scale
            if not difference <= TOLERANCE:  # of what is no number, neither is smaller
                raise _UnwritableError(f"what is written computes something else: outputs differ by {difference:.2g}")
            largest = max(largest, difference)
    return largest


def _reason(error: BaseException) -> str:
    """The first line of what was at the bottom of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def logits_of(model: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's outputs by name, as the file has them."""
    return {name: value for name, value in model(**inputs).items() if isinstance(value, Tensor)}


def random_inputs(model: Any, sizes: list[tuple[int, int]]) -> Iterator[dict[str, Tensor]]:
    """Random tokens of so many texts and tokens, by size; of several texts the first is padded from its middle on."""
    generator, config = torch.Generator().manual_seed(0), model.config
    for batch_size, length in sizes:
        shape: tuple[int, ...] = (batch_size, length)
        if isinstance(model, FlexiBERTForMultipleChoice):
            shape = (batch_size, _NUM_CHOICES, length)
        ids = torch.randint(config.vocab_size, shape, generator=generator)
        mask = torch.ones_like(ids)
        if batch_size > 1:
            mask[0, ..., length // 2 + 1 :] = 0
        inputs = {"input_ids": ids, "attention_mask": mask}
        if config.type_vocab_size > 1:
            inputs["token_type_ids"] = torch.randint(config.type_vocab_size, shape, generator=generator)
        yield inputs
