"""What is told of a run and of each of its trials: read from the journal, so that whoever has died, the next one tells
the same."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..candidate import Candidate, describe
from ..records.run_directory import RunDirectory

CURVES = ("progress", "loss", "validation_score")
"""What of a trial's reports is drawn over time."""


@dataclass(frozen=True)
class Point:
    """One report of a trial.

    Attributes:
        step: how many reports of the trial came before; the same whenever the journal is read.
        time: seconds since the epoch.
        values: by name.
    """

    step: int
    time: float
    values: Mapping[str, float]


@dataclass
class TrialStory:
    """All that the journal says of one trial.

    Attributes:
        parameters: what was tried: architecture, origin, sizes. tags: its hash, and the trials it comes from.
        state: ``open``, ``finished`` or ``failed``.
        figures: score, objectives and cost of a finished one.
        begun, ended: seconds since the epoch; ``ended`` is 0 while the trial is open.
    """

    trial: str
    parameters: dict[str, str]
    tags: dict[str, str]
    begun: float
    points: list[Point] = field(default_factory=list)
    state: str = "open"
    figures: dict[str, float] = field(default_factory=dict)
    error: str = ""
    ended: float = 0.0


@dataclass(frozen=True)
class RunStory:
    """What trackers know a run by.

    Attributes:
        key: the same for the same journal, wherever it lies.
        name: of the folder.
    """

    key: str
    name: str
    directory: RunDirectory

    @property
    def artifacts(self) -> dict[str, Path]:
        """Files and folders that are kept beside the run, by name: those that are there."""
        directory = self.directory
        places = {
            "config.yaml": directory.config_file,
            "summary.md": directory.summary_file,
            "report.html": directory.path / "report.html",
            "best": directory.best_dir,
        }
        return {name: path for name, path in places.items() if path.exists()}


def run_story(directory: RunDirectory, first_line: bytes) -> RunStory:
    """The run in a folder, whose journal begins with this line."""
    name = directory.path.name
    if name.startswith("level-"):
        name = f"{directory.path.parent.name}/{name}"
    return RunStory(hashlib.sha256(first_line).hexdigest()[:16], name, directory)


def note(stories: dict[str, TrialStory], events: Iterable[Mapping[str, Any]]) -> set[str]:
    """Bring stories up to further events of the journal; returns the trials that these are of."""
    changed = set()
    for event in events:
        trial, kind, time = event["trial"], event["event"], event["time"]
        if kind == "suggested":
            stories[trial] = _begun(stories, event)
        story = stories[trial]
        if kind == "reported":
            values = {name: float(event[name]) for name in CURVES if name in event}
            story.points.append(Point(len(story.points), time, values))
        elif kind == "finished":
            story.state, story.ended, story.error = "finished", time, ""
            story.figures = {"score": event["score"], **event["objectives"], "cost_s": event["cost_s"]}
        elif kind == "failed":
            story.state, story.ended, story.error = "failed", time, event["error"]
        elif kind == "started" and story.state == "failed":  # it is tried again
            story.state, story.ended, story.error = "open", 0.0, ""
        changed.add(trial)
    return changed


def _begun(stories: Mapping[str, TrialStory], event: Mapping[str, Any]) -> TrialStory:
    candidate = Candidate.from_dict(event)
    trials = {story.tags["hash"]: story.trial for story in stories.values()}
    parameters = {
        "architecture": describe(candidate),
        "origin": candidate.origin.name,
        "layers": str(len(candidate.spec.layers)),
        "hidden_size": str(max(layer.hidden_size for layer in candidate.spec.layers)),
        **{f"origin.{name}": str(value) for name, value in candidate.origin.arguments},
    }
    tags = {
        "hash": candidate.spec.hash,
        "proposed_by": candidate.proposed_by,
        "origin": str(candidate.origin),
        "parents": " ".join(trials.get(parent, parent) for parent in candidate.origin.parents),
    }
    return TrialStory(event["trial"], parameters, tags, event["time"])
