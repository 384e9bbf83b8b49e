"""Prunes a trained model to a smaller dense one without training, or reports what pruning removed."""

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar

from design_space.command import CommandOptions
from design_space.options import ARGUMENT, Number, Place, Switch, Whole, flag, options

from ..conversion.folders import check_target
from ..model.heads import WordPredictor
from ..pruning.importance import Batch
from ..pruning.one_shot import prune
from ..pruning.report import DensityReport, report_of_specs
from ..runtimes.latency import measure_in_turn
from .examples import ExampleOptions, Examples, read_examples
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
    rows: ExampleOptions = ExampleOptions()
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
    labelled = read_examples(options.rows, parent, options.source)
    if given:
        batches = _batches(labelled, parent, inputs, options)
        child = prune(parent, **given, examples=batches, repair=not options.no_repair)
    else:
        child = load_model(options.target)
    figures = labelled.figures(parent, child) if labelled else {}
    lines = summary({"parent": parent, "child": child}, inputs, **figures, folder=str(options.target.resolve()))
    report = _report(parent, child) if options.report else None
    if given:
        save_model(child, options.target, options.source)
    print(lines)
    if report is not None:
        _write_report(report, options.target)


def _report(parent: Any, child: Any) -> DensityReport:
    length = min(128, parent.config.max_position_embeddings)
    before, after = measure_in_turn([parent.base_model, child.base_model], length=length, repeats=10)
    return report_of_specs(parent.config.model_spec, child.config.model_spec, after.times_as_fast_as(before))


def _write_report(report: DensityReport, folder: Path) -> None:
    """Print the table; write it beside the child."""
    print(report.table())
    (folder / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    (folder / "report.svg").write_text(report.svg())
    print(f"written: {(folder / 'report.json').resolve()}, {(folder / 'report.svg').resolve()}")


def _batches(labelled: Examples | None, parent: Any, inputs: Any, options: Options) -> list[Batch]:
    """Batches with labels: rows of ``--examples``, or for a model with a masked-LM head blocks of ``--text``.

    Raises:
        ValueError: when there is neither, or the model has no head for it.
    """
    if labelled is not None:
        return list(labelled.batches)
    if inputs is None:
        raise ValueError("--examples must be given (or --text, for a masked-LM model): importance is measured on them")
    if not isinstance(parent, WordPredictor):
        name = type(parent).__name__
        raise ValueError(f"{options.source}: --text needs a model with a masked-LM head. Got a {name}")
    ids, labels = (x[: options.rows.max_examples].split(options.rows.batch_size) for x in inputs)
    return [{"input_ids": some, "labels": of_some} for some, of_some in zip(ids, labels, strict=True)]
