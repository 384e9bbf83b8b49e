"""Writes a model for outside of PyTorch: an ONNX file with its tokenizer, and a program that answers."""

import tempfile
from pathlib import Path
from typing import Annotated, ClassVar

from design_space.command import CommandOptions
from design_space.options import ARGUMENT, Count, Place, Switch, flag, options

from ..conversion.folders import check_target, load_tokenizer
from ..export.folder import task_of, write_folder
from ..runtimes.int8 import quantize
from ..runtimes.onnx_file import check_packages, write_onnx
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
    padded_length: Annotated[Count | None, flag(unit="tokens")] = None
    """Length that predict.py pads texts to: of a model with linear transforms, that of its training. No padding when
    not given."""


def run(options: Options) -> None:
    """Export, check against PyTorch, measure, write, and say where it is and how fast."""
    check_packages()
    check_target(options.target)
    model, tokenizer = load_model(options.source).eval(), load_tokenizer(options.source)
    task_of(model)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "model.onnx"
        difference = write_onnx(model, file)
        notes = [f"Exported to ONNX; in float its outputs differ from PyTorch's by {difference:.1g} at most."]
        sizes = [file.stat().st_size / 1e6]
        if options.int8:
            whole = file.with_name("int8.onnx")
            quantize(file, whole)
            file, sizes = whole, [*sizes, whole.stat().st_size / 1e6]
            notes.append("Weights and products are in whole numbers of 8 bits, each output channel with its own scale.")
        times = write_folder(model, tokenizer, file, options.target, notes=notes, padded_length=options.padded_length)
    print(f"written: {options.target.resolve()}, {' MB in float, '.join(f'{size:.1f}' for size in sizes)} MB")
    if model.config.model_spec.depends_on_length and options.padded_length is None:
        print("linear transforms see padding: predict.py does not pad; give the length of training as --padded_length")
    for one in times:
        print(
            f"{one.batch_size} x {one.length} tokens, one thread: PyTorch {one.torch.p50_ms:.2f} ms, this file "
            f"{one.onnx.p50_ms:.2f} ms, {one.torch.p50_ms / one.onnx.p50_ms:.1f} times as fast"
        )
    print(f"try it: python {options.target.resolve() / 'predict.py'} 'a text'")
