"""The end of a run: the best model beside the encoder it came from, known architectures and simple baselines, on the
same held-out rows. Writes ``comparison.json`` and ``answers.json`` into the run directory.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from design_space import ModelSpec

from ..comparison.answers import answers_of
from ..comparison.models import THREADS, Compared, as_comparison, compare_models, comparison_text, usual_length
from ..comparison.simple_baselines import simple_baselines
from ..records.comparison_file import Kind, write_comparison
from ..records.journal import TrialRecord
from ..records.run_directory import RunDirectory
from ..tune.runner import LevelRun

Kinds = Mapping[str, tuple[Kind, str | None]]


def compare_best(
    run: LevelRun,
    records: Sequence[TrialRecord],
    best: TrialRecord,
    baselines: Mapping[str, ModelSpec],
    split: str,
    console: Console,
) -> str:
    """The best trial beside the encoder where there is one, and baselines that were trained in the run directory.
    Returns a table of them in Markdown.

    Args:
        baselines: their architectures, by name.
    """
    data = run.data.tasks[run.data.largest_task]
    folders: dict[str, Path] = {}
    kinds: dict[str, tuple[Kind, str | None]] = {}
    for record in records:
        place = run.models_dir / record.candidate.spec.hash
        is_first = run.roots is not None and record.candidate.spec == run.roots.reference
        if is_first and record.candidate.origin.name == "pretrained" and record is not best and place.is_dir():
            assert run.roots is not None
            folders[run.roots.title], kinds[run.roots.title] = place, ("encoder", record.trial)
    for name, spec in baselines.items():
        folders[name] = run.directory.path / "baselines" / "models" / spec.hash
        kinds[name] = ("baseline", None)
    folders[best.trial], kinds[best.trial] = run.models_dir / best.candidate.spec.hash, ("best", best.trial)
    length = usual_length(data)
    return compare_at_the_end(run.directory, folders, kinds, run, split, length=length, console=console)[1]


def compare_at_the_end(
    directory: RunDirectory,
    folders: Mapping[str, Path],
    kinds: Kinds,
    run: LevelRun,
    split: str,
    *,
    length: int,
    console: Console,
    unmet: Callable[[Sequence[Compared]], Sequence[str]] = lambda compared: (),
) -> tuple[list[Compared], str]:
    """Models in folders, the first of which is the reference, and simple baselines; of several tasks, on the one with
    most rows. Returns the models, and a table of them in Markdown.

    Args:
        kinds: what each is, and its trial. length: tokens of the text that is timed. unmet: says of the compared models
            which goals were missed.
    """
    data = run.data.tasks[run.data.largest_task]
    root = next(iter(run.roots.folders.values())) if run.roots else None
    runtime = run.timing.get("runtime", "torch")
    by_kind = {kind: name for name, (kind, _) in kinds.items()}
    chosen = by_kind.get("best") or by_kind["encoder"]
    with console.status("comparing with simple baselines"):
        simple = simple_baselines(data, split, root)
        condition = {"length": length, "threads": THREADS, "runtime": runtime}
        compared = compare_models(folders, data, split, **condition, simple=simple, best=chosen)
    best = next(one for one in compared if one.name == chosen)
    reference = next((one for one in compared if one is not best and one.name in kinds), None)
    trial = kinds[chosen][1]
    assert trial is not None
    comparison = as_comparison(
        compared, data, split, length=length, runtime=runtime, kinds=kinds, unmet=unmet(compared)
    )
    write_comparison(directory.path, comparison, answers_of(best, reference, trial, data, split))
    return compared, comparison_text(compared, comparison)
