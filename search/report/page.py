"""The page of the report: what it says is gathered from the run directory, and put into ``report.html.j2``.

The journal is the source; what is not there yet (a best model, a library file, baselines) is left out of the page.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml
from markupsafe import Markup
from pydantic import TypeAdapter
from scipy.stats import spearmanr
from typing_extensions import TypedDict

from design_space import ModelSpec, operations
from design_space.files import read_json, write_atomically
from design_space.schemas import SHAPE, checked
from embeddings import GraphLibrary
from flexibert import MORPHISMS, Latency, Morphism
from flexibert.checkpoints.remote_code import auto_class_of

from ..candidate import describe
from ..objectives import SCORE, Goals, parse_limit
from ..records.journal import TrialRecord, front_records, ranked_records
from ..records.run_directory import RunDirectory
from . import figures


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

REPORT_FILE = "report.html"
TRADEOFFS = {
    "parameters": "Score against size",
    "latency_ms": "Score against time of a forward pass",
    "flops": "Score against operations of a forward pass",
    "size_mb": "Score against the size of the file",
}
_FEWEST_FOR_INFLUENCE = 5
_MOST_MAPPED = 500
"""Trials on the map, the best; to place one that is no member of the library takes 20 ms."""


def write_report(run_dir: Path | str) -> Path:
    """Writes ``report.html`` of a run, finished or not, and returns its path.

    Raises:
        ValueError: when the folder holds no run, or its journal is damaged.
    """
    directory = RunDirectory(Path(run_dir).absolute())
    if not directory.exists():
        raise ValueError(f"{directory.path} holds no run (no config.yaml)")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("search.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("report.html.j2").render(**_content(directory))
    path = directory.path / REPORT_FILE
    write_atomically(path, page)
    return path


def _content(directory: RunDirectory) -> dict[str, Any]:
    config = directory.saved_config()
    records = list(directory.journal.trials().values())
    # As they finished: the order in which the searcher learned.
    order = [event["trial"] for event in directory.journal.events() if event["event"] == "finished"]
    finished = sorted((record for record in records if record.score is not None), key=lambda r: order.index(r.trial))
    evaluation = _json(directory.best_dir / "evaluation.json", _EVALUATION)
    metric = evaluation["metric"] if evaluation else "score"
    baselines = _baselines(directory.path / "baselines" / "baselines.json")
    goals = Goals(
        objectives=tuple(config.get("objectives") or (SCORE,)),
        constraints=dict(map(parse_limit, config.get("constraints") or ())),
    )
    ranked = ranked_records(records, goals)
    if evaluation and [evaluation["trial"]] != [record.trial for record in ranked[:1]]:
        evaluation = None  # ``best/`` is of an earlier state of a run that goes on
    limits = goals.constraints
    pictures = [
        (
            "Scores as they came in",
            figures.progress_figure(finished, metric, {name: entry["score"] for name, entry in baselines.items()}),
        ),
        *(
            (title, figures.tradeoff_figure(finished, metric, name, limit=limits.get(name)))
            for name, title in TRADEOFFS.items()
        ),
        ("What the surrogate had expected", figures.calibration_figure(finished, metric)),
        ("Where in the library", _map(config, finished, metric)),
        ("Who inherited from whom", figures.lineage_figure(records)),
    ]
    return {
        "describe": describe,
        "json": json.dumps,
        "task": config.get("task") or directory.path.name,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "metric": metric,
        "evaluation": evaluation,
        "best_dir": directory.best_dir,
        "auto_class": _auto_class(_json(directory.best_dir / "config.json", _MODEL)),
        "best": ranked[:5],
        "objectives": goals.objectives,
        "front": front_records(finished, goals),
        "constraints": list(limits.items()),
        "is_kept": bool(ranked) and goals.constraint_violation(ranked[0].objectives) == 0,
        "baselines": sorted(baselines.items()),
        "pictures": [(title, Markup(picture)) for title, picture in pictures if picture],
        "influence": _influence(finished),
        "costs": _costs(records),
        "trials": [*ranked, *(record for record in records if record.score is None)],
        "config": yaml.safe_dump(config, sort_keys=False),
        "run_dir": directory.path,
        "counts": {state: sum(record.state == state for record in records) for state in ("finished", "failed", "open")},
    }


def _influence(finished: Sequence[TrialRecord]) -> list[tuple[str, float, float]]:
    """Returns the rank correlation of properties of architectures with the score and its p-value, the strongest first.
    Each is looked at by itself, so it is not more than a hint."""
    if len(finished) < _FEWEST_FOR_INFLUENCE:
        return []
    rows = [_properties(record.candidate.spec) for record in finished]
    scores = [record.score for record in finished]
    found = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        if len(set(values)) > 1 and len(set(scores)) > 1:
            result = spearmanr(values, scores)
            found.append((name, float(result.statistic), float(result.pvalue)))
    return sorted(found, key=lambda entry: -abs(entry[1]))


def _properties(spec: ModelSpec) -> dict[str, float]:
    heads = [head for layer in spec.layers for head in layer.heads]
    kinds = {operation.meaning: operation.name for operation in operations()}
    early = [head for layer in spec.layers[: (len(spec.layers) + 1) // 2] for head in layer.heads]
    return {
        "number of layers": float(len(spec.layers)),
        "mean hidden size": float(np.mean([layer.hidden_size for layer in spec.layers])),
        "mean heads per layer": len(heads) / len(spec.layers),
        "mean feed-forward width": float(np.mean([np.mean(layer.feed_forward) for layer in spec.layers])),
        "feed-forward vertices per layer": float(np.mean([len(layer.feed_forward) for layer in spec.layers])),
        **{f"share of {name}": float(np.mean([h.operation == op for h in heads])) for name, op in kinds.items()},
        **{
            f"share of {name} in the first half": float(np.mean([h.operation == op for h in early]))
            for name, op in kinds.items()
        },
    }


def _costs(records: Sequence[TrialRecord]) -> list[tuple[Morphism, int, float, float]]:
    """Returns of each morphism the number of trials with a cost, the seconds, and the best score."""
    costs = []
    for name, morphism in sorted(MORPHISMS.items()):
        made = [r for r in records if r.candidate.origin.name == name and r.cost_s is not None]
        if made:
            best = max(record.score or 0.0 for record in made)
            costs.append((morphism, len(made), sum(record.cost_s or 0.0 for record in made), best))
    return costs


def _map(config: dict[str, Any], finished: Sequence[TrialRecord], metric: str) -> str | None:
    path = Path(config.get("dataset_file") or "")
    if not path.is_file():
        return None
    library = GraphLibrary.load(path)
    best = sorted(finished, key=lambda record: -(record.score or 0.0))[:_MOST_MAPPED]
    specs = [record.candidate.spec for record in best]
    are_members = [spec.hash in library for spec in specs]
    vectors = [
        library.embeddings[library.position(spec.hash)] if is_member else library.embed(spec)
        for spec, is_member in zip(specs, are_members, strict=True)
    ]
    scores = [record.score or 0.0 for record in best]
    return figures.map_figure(library.embeddings, np.array(vectors), scores, are_members=are_members, metric=metric)


def _auto_class(config: dict[str, Any] | None) -> str:
    return auto_class_of(config["architectures"][0], config["model_type"]) if config else "AutoModel"


def _baselines(path: Path) -> dict[str, dict[str, Any]]:
    found = _json(path, _BASELINES) or {}
    baselines = {name: {"objectives": {}} | entry for name, entry in found.items() if "score" in entry}
    for baseline in baselines.values():
        baseline["speed"] = str(Latency(**baseline["speed"])) if baseline.get("speed") else None
    return baselines


def _json(path: Path, schema: TypeAdapter[Any]) -> dict[str, Any] | None:
    return checked(schema, read_json(path), path) if path.is_file() else None
