"""What a run directory says, finished or not: its journal, its best model, what that was compared with."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from design_space.files import read_json
from design_space.schemas import SHAPE, checked
from flexibert import Latency
from flexibert.checkpoints.remote_code import auto_class_of

from ..objectives import SCORE, Goals, parse_limit
from ..records.comparison_file import Answers, Comparison, read_comparison
from ..records.journal import TrialRecord, ranked_records
from ..records.run_directory import RunDirectory


class _Evaluation(TypedDict):
    __pydantic_config__ = SHAPE  # type: ignore[misc]
    trial: str
    metric: str
    split: str
    metrics: dict[str, float | None]


class _Model(TypedDict):
    __pydantic_config__ = SHAPE  # type: ignore[misc]
    architectures: list[str]
    model_type: str


_EVALUATION: TypeAdapter[Any] = TypeAdapter(_Evaluation)
_MODEL: TypeAdapter[Any] = TypeAdapter(_Model)
_BASELINES: TypeAdapter[Any] = TypeAdapter(dict[str, dict[str, Any]])


@dataclass(frozen=True)
class Run:
    """What a run directory says, finished or not.

    Raises:
        ValueError: when the folder holds no run, or a file of it is damaged.
    """

    directory: RunDirectory

    def __post_init__(self) -> None:
        if not self.directory.exists():
            raise ValueError(f"{self.directory.path} holds no run (no config.yaml)")

    @cached_property
    def config(self) -> dict[str, Any]:
        return self.directory.saved_config()

    @cached_property
    def task(self) -> str:
        """What was searched for, without the folder of its table."""
        task = self.config.get("task") or self.directory.path.name
        return Path(task).name if Path(task).is_absolute() else task

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        return list(self.directory.journal.events())

    @cached_property
    def records(self) -> list[TrialRecord]:
        return list(self.directory.journal.trials().values())

    @cached_property
    def finished(self) -> list[TrialRecord]:
        """As they finished: the order in which the searcher learned."""
        ends = [event["trial"] for event in self.events if event["event"] == "finished"]
        return sorted((one for one in self.records if one.score is not None), key=lambda one: ends.index(one.trial))

    @cached_property
    def goals(self) -> Goals:
        return Goals(
            objectives=tuple(self.config.get("objectives") or (SCORE,)),
            constraints=dict(map(parse_limit, self.config.get("constraints") or ())),
        )

    @cached_property
    def evaluation(self) -> dict[str, Any] | None:
        """Of the best model; None where ``best/`` is of an earlier state of a run that goes on."""
        found = _json(self.directory.best_dir / "evaluation.json", _EVALUATION)
        highest = [record.trial for record in ranked_records(self.records, self.goals)[:1]]
        return found if found and [found.get("highest", found["trial"])] == highest else None

    @cached_property
    def metric(self) -> str:
        found = _json(self.directory.best_dir / "evaluation.json", _EVALUATION)
        return found["metric"] if found else "score"

    @cached_property
    def ranked(self) -> list[TrialRecord]:
        """The best first; it may be tied with the one of the highest score."""
        chosen = self.evaluation["trial"] if self.evaluation else None
        return sorted(ranked_records(self.records, self.goals), key=lambda record: record.trial != chosen)

    @cached_property
    def comparison(self) -> tuple[Comparison | None, Answers | None]:
        """Of the best model beside others; None of an earlier one."""
        compared, answers = read_comparison(self.directory.path)
        trial = self.evaluation["trial"] if self.evaluation else None
        if compared and (trial is None or trial not in [one["trial"] for one in compared["models"]]):
            compared = None
        return compared, answers if compared and answers and answers["trial"] == trial else None

    @property
    def training_s(self) -> float:
        return sum(record.cost_s or 0.0 for record in self.records)

    @property
    def elapsed_s(self) -> float:
        """From the first line of the journal to the last, breaks counted."""
        return self.events[-1]["time"] - self.events[0]["time"] if self.events else 0.0

    def counts(self) -> dict[str, int]:
        return {state: sum(one.state == state for one in self.records) for state in ("finished", "failed", "open")}

    @property
    def command(self) -> str | None:
        """What repeats a run that options alone do not."""
        file = self.directory.command_file
        return file.read_text(encoding="utf-8") if file.exists() else None

    @property
    def saved_options(self) -> str:
        """What repeats the run, as YAML."""
        return yaml.safe_dump(self.config, sort_keys=False)

    @cached_property
    def baselines(self) -> dict[str, dict[str, Any]]:
        """Known architectures that were trained under the same recipe, with their scores on validation."""
        found = _json(self.directory.path / "baselines" / "baselines.json", _BASELINES) or {}
        baselines = {name: {"objectives": {}} | entry for name, entry in sorted(found.items()) if "score" in entry}
        for baseline in baselines.values():
            baseline["speed"] = str(Latency(**baseline["speed"])) if baseline.get("speed") else None
        return baselines

    @property
    def auto_class(self) -> str:
        """What of transformers loads the best model."""
        config = _json(self.directory.best_dir / "config.json", _MODEL)
        return auto_class_of(config["architectures"][0], config["model_type"]) if config else "AutoModel"


def _json(path: Path, schema: TypeAdapter[Any]) -> dict[str, Any] | None:
    return checked(schema, read_json(path), path) if path.is_file() else None
