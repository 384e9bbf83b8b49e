"""What users import: searching and shrinking encoders from Python, on tables, data frames and model folders.

    import flexibert_nas

    small = flexibert_nas.shrink("my-bert", "small", task="reviews.csv", faster=3)
    small.predict(["a fine film"])
    found = flexibert_nas.search("reviews.csv", start_from="my-bert", max_trials=20)

The same as the commands ``shrink_model`` and ``run_boshnas``, whose flags are the keyword arguments. The name clashes
with no ``dataset.py`` or ``search.py`` beside a notebook.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from design_space.version import __version__

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Result", "__version__", "search", "shrink"]


@dataclass(frozen=True)
class Result:
    """What a search has found.

    Attributes:
        best: folder of the best model, which ``transformers`` loads.
        run_dir: everything else of the search.
    """

    best: Path
    run_dir: Path

    @property
    def report(self) -> Path:
        """The report, a page for a browser."""
        return self.run_dir / "report.html"

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """Every finished trial, the best score first: its name, score, objectives, origin and architecture."""
        import pandas as pd

        from search.candidate import describe
        from search.records.run_directory import RunDirectory

        rows = [
            {
                "trial": record.trial,
                "score": record.score,
                **record.objectives,
                "origin": str(record.candidate.origin),
                "architecture": describe(record.candidate),
            }
            for record in RunDirectory(self.run_dir).journal.trials().values()
            if record.score is not None
        ]
        return pd.DataFrame(rows).sort_values("score", ascending=False, kind="stable", ignore_index=True)

    @property
    def front(self) -> "pd.DataFrame":
        """The trials that no other beats in both score and time of a forward pass."""
        table = self.trials
        fastest_so_far = table["latency_ms"].cummin().shift(fill_value=float("inf"))
        return table[table["latency_ms"] < fastest_so_far].reset_index(drop=True)

    def predict(self, texts: Sequence[str | tuple[str, str]]) -> list[str]:
        """The label of each text, or pair of texts, by the best model. For tasks of classes of whole texts."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        import flexibert  # noqa: F401  (makes its models known)

        tokenizer = AutoTokenizer.from_pretrained(self.best)
        model = AutoModelForSequenceClassification.from_pretrained(self.best).eval()
        labels = []
        for start in range(0, len(texts), 64):
            batch = list(texts[start : start + 64])
            inputs = tokenizer(batch, truncation=True, padding=True, return_tensors="pt")
            with torch.inference_mode():
                best = model(**inputs).logits.argmax(-1).tolist()
            labels += [model.config.id2label[number] for number in best]
        return labels


def shrink(
    model: str | Path,
    target: str | Path,
    *,
    task: "str | Path | pd.DataFrame",
    run_dir: str | Path | None = None,
    **options: Any,
) -> Result:
    """Make a pre-trained encoder smaller and faster for a task, and write it to ``target``.

    Args:
        model: folder or Hub name of the encoder.
        target: folder to write; must not exist.
        task: a table's file, a data frame, or a task by name.
        run_dir: where everything of the search goes; beside ``target`` when not given.
        options: flags of ``shrink_model``, a goal among them: ``faster=3``, ``smaller=4``, ``latency_ms=5`` or
            ``max_drop=1``.

    Raises:
        ValueError: as the command, for what is wrong with the options, the encoder or the table.
    """
    from search.shrink import shrink_model

    target = Path(target).absolute()
    place = Path(run_dir).absolute() if run_dir else target.with_name(f"{target.name}.run")
    shrink_model([str(model), str(target), *_flags({"task": _table(task, place), "run_dir": place, **options})])
    return Result(target, place)


def search(
    task: "str | Path | pd.DataFrame",
    *,
    start_from: str | Path | Sequence[str] | None = None,
    goal: Mapping[str, float] | None = None,
    run_dir: str | Path | None = None,
    **options: Any,
) -> Result:
    """Search for the best model for a task.

    Args:
        task: a table's file, a data frame, or a task by name.
        start_from: pre-trained encoders to start from; needed where no ``dataset_file`` (a graph library) is given.
        goal: of ``shrink`` (``{"faster": 3}``), for one encoder to start from; without one the score is all that
            counts.
        run_dir: where everything goes; a new folder below ``runs`` when not given.
        options: flags of ``run_boshnas``, or with a goal of ``shrink_model``.

    Raises:
        ValueError: as the commands.
    """
    from search.run_boshnas import run_boshnas

    place = Path(run_dir).absolute() if run_dir else _new_folder()
    if goal is not None:
        if not isinstance(start_from, str | Path):
            raise ValueError(f"'goal' needs one encoder to start from in 'start_from'. Got {start_from!r}")
        return shrink(start_from, place / "best-model", task=task, run_dir=place, **goal, **options)
    starts = [start_from] if isinstance(start_from, str | Path) else list(start_from or ())
    run_boshnas(_flags({"task": _table(task, place), "run_dir": place, "start_from": starts, **options}))
    return Result(place / "best", place)


def _table(task: "str | Path | pd.DataFrame", place: Path) -> str:
    """The name or path of a task; a data frame is kept as a file beside the run, by its content."""
    if isinstance(task, str | Path):
        return str(task)
    place.parent.mkdir(parents=True, exist_ok=True)
    file = place.with_name(f"{place.name}.table.jsonl")
    task.to_json(file, orient="records", lines=True, force_ascii=False)
    return str(file)


def _flags(values: Mapping[str, Any]) -> list[str]:
    from design_space.options import as_flags

    return as_flags({name: list(value) if isinstance(value, tuple) else value for name, value in values.items()})


def _new_folder() -> Path:
    Path("runs").mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="search-", dir="runs")).absolute()
