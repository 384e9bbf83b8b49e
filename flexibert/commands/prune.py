"""Prunes a trained model to a smaller dense one without training, or reports what pruning removed."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from transformers import AutoTokenizer

from design_space.command import CommandOptions
from design_space.files import read_text
from design_space.options import ARGUMENT, Count, Number, Place, Switch, Whole, flag, options

from ..conversion.folders import check_target
from ..model.heads import FlexiBERTForSequenceClassification, WordPredictor
from ..pruning.importance import Batch
from ..pruning.one_shot import prune
from ..pruning.report import DensityReport, report_of_specs
from ..runtimes.latency import measure_latency
from .model_folders import LossOptions, load_model, save_model, summary, text_inputs


@options
class Options(CommandOptions):
    """Prunes a trained model to a smaller dense one without training, or reports what pruning removed."""

    prog: ClassVar[str] = "python -m flexibert prune"
    source: Annotated[Place, ARGUMENT]
    """Folder of a FlexiBERT or BERT model with a task head, the parent."""
    target: Annotated[Place, ARGUMENT]
    """Folder to write; with --report alone, the child to look at."""
    density: Number | None = None
    """Share of the encoder's linear weights to keep."""
    parameters: Whole | None = None
    """Number of all parameters, at most."""
    latency_ms: Annotated[Number | None, flag(unit="ms")] = None
    """Time of a batch of examples, at most."""
    examples: Place | None = None
    """TSV or CSV with a header: texts in the first columns, label last."""
    max_examples: Count = 256
    """Number of examples that are used, from the start."""
    batch_size: Count = 16
    """Examples per batch."""
    no_repair: Switch = False
    """Leave out the least-squares repair."""
    report: Switch = False
    """Densities and measured speed-up, as a table, report.json and report.svg."""
    loss: LossOptions = LossOptions()


def run(options: Options) -> None:
    """Prune and write, where a target size is given; report, where asked for."""
    sizes = {name: getattr(options, name) for name in ("density", "parameters", "latency_ms")}
    given = {name: value for name, value in sizes.items() if value is not None}
    if not given and not options.report:
        raise ValueError("One of --density, --parameters and --latency_ms must be given, or --report")
    if given:
        check_target(options.target)
    parent = load_model(options.source)
    inputs = text_inputs(options.loss, options.source, parent.config.max_position_embeddings)
    if given:
        examples = list(_examples(options, parent, inputs))
        child = prune(parent, **given, examples=examples, repair=not options.no_repair)
    else:
        child = load_model(options.target)
    lines = summary({"parent": parent, "child": child}, inputs, folder=str(options.target.resolve()))
    report = _report(parent, child) if options.report else None
    if given:
        save_model(child, options.target, options.source)
    print(lines)
    if report is not None:
        _write_report(report, options.target)


def _report(parent: Any, child: Any) -> DensityReport:
    length = min(128, parent.config.max_position_embeddings)
    times = [measure_latency(model.base_model, length=length, repeats=10).median_ms for model in (parent, child)]
    return report_of_specs(parent.config.model_spec, child.config.model_spec, times[0] / times[1])


def _write_report(report: DensityReport, folder: Path) -> None:
    """Print the table; write it beside the child."""
    print(report.table())
    (folder / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    (folder / "report.svg").write_text(report.svg())
    print(f"written: {(folder / 'report.json').resolve()}, {(folder / 'report.svg').resolve()}")


def _examples(options: Options, parent: Any, inputs: Any) -> Iterator[Batch]:
    """Batches with labels: rows of ``--examples``, or for a model with a masked-LM head blocks of ``--text``.

    Raises:
        ValueError: when there is neither, the model has no head for it, or a row or label does not fit.
    """
    if options.examples is None and inputs is None:
        raise ValueError("--examples must be given (or --text, for a masked-LM model): importance is measured on them")
    needed: Any = WordPredictor if options.examples is None else FlexiBERTForSequenceClassification
    if not isinstance(parent, needed):
        flag = "--text" if options.examples is None else "--examples"
        name = "model with a masked-LM head" if options.examples is None else needed.__name__
        raise ValueError(f"{options.source}: {flag} needs a {name}. Got a {type(parent).__name__}")
    if options.examples is None:
        ids, labels = (x[: options.max_examples] for x in inputs)
        for start in range(0, len(ids), options.batch_size):
            piece = slice(start, start + options.batch_size)
            yield {"input_ids": ids[piece], "labels": labels[piece]}
        return
    tokenizer = AutoTokenizer.from_pretrained(options.source)
    rows = _rows(options.examples)[: options.max_examples]
    label_ids = {str(label): number for number, label in parent.config.id2label.items()}
    for start in range(0, len(rows), options.batch_size):
        batch = rows[start : start + options.batch_size]
        columns = [list(column) for column in zip(*(row[:-1] for row in batch), strict=True)]
        length = parent.config.max_position_embeddings
        encoded = tokenizer(*columns[:2], padding=True, truncation=True, max_length=length, return_tensors="pt")
        labels = torch.tensor([_label(row[-1], label_ids, parent.config.num_labels) for row in batch])
        yield {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"], "labels": labels}


def _rows(path: Path) -> list[list[str]]:
    delimiter = "," if path.suffix == ".csv" else "\t"
    text = io.StringIO(read_text(path, "a table"), newline="")
    is_quoted = delimiter == ","  # in GLUE's TSV files quotes are ordinary characters
    reader = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE)
    try:
        header, *rows = list(reader) or [[]]
    except csv.Error as error:
        raise ValueError(f"{path}: must be a table. {error}") from error
    if len(header) not in (2, 3) or not rows:
        raise ValueError(f"{path}: must have a header, one or two columns of text, a label last, and rows")
    wrong = next((number for number, row in enumerate(rows, 2) if len(row) != len(header)), None)
    if wrong is not None:
        raise ValueError(f"{path}: line {wrong} must have {len(header)} columns as the header has")
    return rows


def _label(text: str, label_ids: dict[str, int], num_labels: int) -> float | int:
    """A number where there is one label; else a label's name or number."""
    if num_labels == 1:
        return float(text)
    if text in label_ids:
        return label_ids[text]
    if text.isdecimal() and int(text) < num_labels:
        return int(text)
    raise ValueError(f"Labels must be below {num_labels} or one of {', '.join(label_ids)}. Got {text!r}")
