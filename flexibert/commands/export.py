"""Writes a model for outside of PyTorch: an ONNX file with its tokenizer, and a program that answers."""

import math
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch

from design_space.command import CommandOptions
from design_space.options import ARGUMENT, Count, Only, Place, Positive, Switch, flag, options

from ..conversion.folders import check_target, load_tokenizer
from ..export.card import command_of, load_of
from ..export.folder import description, write_folder
from ..runtimes.agreement import agreement_with
from ..runtimes.int8 import quantize_within
from ..runtimes.onnx_file import check_packages, write_onnx
from ..runtimes.onnx_model import OnnxModel
from ..runtimes.openvino_files import check_openvino, write_openvino
from .examples import ExampleOptions, Examples, read_examples
from .model_folders import load_model


@options
class Options(CommandOptions):
    """Writes a model for outside of PyTorch: an ONNX file with its tokenizer, and a program that answers."""

    prog: ClassVar[str] = "python -m flexibert export"
    source: Annotated[Place, ARGUMENT]
    """Folder of a FlexiBERT or BERT model with a task head and a tokenizer."""
    target: Annotated[Place, ARGUMENT]
    """Folder to write; must not exist."""
    int8: Switch = False
    """Weights and products in whole numbers of 8 bits."""
    max_drop: Positive | None = None
    """With --int8, the most points (hundredths of the task's metric on --examples) that may be lost: layers that cost
    more stay in float, which is told. Without examples, of 100 random texts so many may be answered otherwise than in
    float."""
    rows: Annotated[ExampleOptions, Only(("examples", "max_examples"))] = ExampleOptions()
    runtime: Literal["onnx", "openvino"] = "onnx"
    """What is to run the model: onnx (ONNX Runtime), or openvino, for which model.xml and model.bin are written too."""
    padded_length: Annotated[Count | None, flag(unit="tokens")] = None
    """Length that predict.py pads texts to. When not given, that of the longest texts for a model with linear
    transforms, which see padding; none for others."""


def run(options: Options) -> None:
    """Export, check against PyTorch, measure, write, and say where it is and how fast."""
    check_packages()
    if options.runtime == "openvino":
        check_openvino()
    check_target(options.target)
    if options.max_drop is not None and not options.int8:
        raise ValueError("--max_drop must be given with --int8: in float nothing is lost")
    model, tokenizer = load_model(options.source).float().eval(), load_tokenizer(options.source)
    about = description(model, tokenizer, options.padded_length)
    examples = read_examples(
        options.rows, model, options.source, held_out_first=True, padded_length=about["padded_length"]
    )
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "model.onnx"
        difference = write_onnx(model, file)
        notes = [f"Exported to ONNX; in float its outputs differ from PyTorch's by {difference:.1g} at most."]
        sizes = [file.stat().st_size / 1e6]
        if options.int8:
            whole = file.with_name("int8.onnx")
            notes.append(_quantized(model, file, whole, examples, options.max_drop))
            file, sizes = whole, [*sizes, whole.stat().st_size / 1e6]
        if examples:
            score, metric = _score_of_files(examples)(file), examples.task.metric
            notes.append(f"It scores {score:.4f} ({metric}) on {len(examples.labels)} examples.")
        beside = write_openvino(model, file, file.parent) if options.runtime == "openvino" else []
        if beside:
            notes.append(f"{' and '.join(one.name for one in beside)} are the same model for OpenVINO.")
        times = write_folder(model, tokenizer, file, options.target, about=about, notes=notes, beside=beside)
    print("\n".join(notes))
    print(f"written: {options.target.resolve()}, {' MB in float, '.join(f'{size:.1f}' for size in sizes)} MB")
    if model.config.model_spec.depends_on_length and options.padded_length is None:
        print(
            f"linear transforms see padding: predict.py pads to the longest texts, {about['padded_length']} tokens; if "
            "training had another length, give it as --padded_length"
        )
    for one in times:
        print(
            f"{one.torch.batch_size} x {one.torch.length} tokens, one thread: PyTorch {one.torch.median_ms:.2f} ms, "
            f"this file {one.onnx.median_ms:.2f} ms, {one.onnx.times_as_fast_as(one.torch):.1f} times as fast"
        )
    print(f"measured in turn{load_of(times)}")
    print(f"try it: {command_of(about, shlex.quote(str(options.target.resolve() / 'predict.py')))}")


def _quantized(model: Any, source: Path, target: Path, examples: Examples | None, max_drop: float | None) -> str:
    """Write the file in whole numbers; returns a sentence about what that costs."""
    score = _score_of_files(examples) if examples else agreement_with(model, source)
    lost, in_float = quantize_within(source, target, score, math.inf if max_drop is None else max_drop / 100)
    rows = f"of {examples.task.metric} on {len(examples.labels)} examples" if examples else "of 100 random texts"
    cost = f"{100 * lost:.2f} points {rows} are lost" if examples else f"{100 * lost:.1f} {rows} are answered otherwise"
    kept = f"; in float stay {', '.join(in_float)}" if in_float else ""
    return f"Weights and products are in whole numbers of 8 bits, each output channel with its own scale: {cost}{kept}."


def _score_of_files(examples: Examples) -> Callable[[Path], float]:
    def score(file: Path) -> float:
        runner = OnnxModel(file)
        return examples.score(lambda batch: torch.from_numpy(runner(batch)[0]))

    return score
