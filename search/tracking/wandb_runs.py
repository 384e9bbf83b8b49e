"""Weights & Biases: a run for each trial, written when the trial has ended, in a group for the search, whose own run
holds report and model. ``WANDB_MODE=offline`` writes files that ``wandb sync`` sends later."""

import json
from typing import Any

import wandb

from design_space.files import read_json, write_atomically

from .stories import RunStory, TrialStory
from .tracker import Tracker

PROJECT = "flexibert-nas"


class WandbRuns(Tracker):
    """In a project. Runs have ids made of the search's key and the trial's name, so that a trial that is told twice, by
    a process that was killed in between, is one run; those that were told are noted in the run directory."""

    def __init__(self, place: str, run: RunStory) -> None:
        self._project, self._run = place or PROJECT, run
        self._file = run.directory.path / "tracked-by-wandb.json"
        self._told: dict[str, list[str]] = read_json(self._file) if self._file.exists() else {}

    def tell(self, story: TrialStory) -> None:
        if story.state == "open" or self._is_told(story.trial, story.state):
            return
        of_run = self._begin(story.trial, "trial", {**story.parameters, **story.tags})
        for point in story.points:
            of_run.log(dict(point.values), step=point.step)
        of_run.summary.update({**story.figures, "state": story.state, "error": story.error[-5000:]})
        of_run.finish(exit_code=0 if story.state == "finished" else 1)
        self._note(story.trial, story.state)

    def finish(self) -> None:
        if self._is_told("search", "finished"):
            return
        of_run = self._begin("search", "search", {})
        kept = wandb.Artifact(f"search-{self._run.key}", type="search")
        for name, path in self._run.artifacts.items():
            if path.is_dir():
                kept.add_dir(str(path), name=name)
            else:
                kept.add_file(str(path), name=name)
        of_run.log_artifact(kept)
        of_run.finish()
        self._note("search", "finished")

    def close(self) -> None:
        """Every run was finished when it was written."""

    def _begin(self, name: str, kind: str, config: dict[str, Any]) -> Any:
        return wandb.init(
            project=self._project,
            group=f"{self._run.name} {self._run.key[:8]}",
            id=f"{self._run.key}-{name}",
            name=name,
            job_type=kind,
            config=config,
            dir=str(self._run.directory.path),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True),
        )

    def _is_told(self, name: str, state: str) -> bool:
        return f"{name} {state}" in self._told.get(self._project, [])

    def _note(self, name: str, state: str) -> None:
        self._told.setdefault(self._project, []).append(f"{name} {state}")
        write_atomically(self._file, json.dumps(self._told))
