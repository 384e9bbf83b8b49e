"""MLflow: a parent run for the search, and a child of it for each trial. Runs are found again by their tags."""

import os
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from .destinations import SQLITE
from .stories import RunStory, TrialStory
from .tracker import Tracker

EXPERIMENT = "flexibert-nas"
RUN, TRIAL = "flexibert.run", "flexibert.trial"
"""Tags by which runs are found."""
_STATUS = {"open": RunStatus.RUNNING, "finished": RunStatus.FINISHED, "failed": RunStatus.FAILED}
_LONGEST = 250
"""Characters of a parameter, and points of one call."""


class MlflowRuns(Tracker):
    """At a tracking URI, or a folder; what ``MLFLOW_TRACKING_URI`` says when empty."""

    def __init__(self, place: str, run: RunStory) -> None:
        uri, artifacts = place or None, None
        if place and ":" not in place:
            uri = Path(place).as_uri()
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # since a folder was asked for
        elif place.startswith(SQLITE):
            artifacts = (Path(place.removeprefix(SQLITE)).parent / "mlartifacts").as_uri()
        self._client, self._run = MlflowClient(tracking_uri=uri), run
        there = self._client.get_experiment_by_name(EXPERIMENT)
        self._experiment = there.experiment_id if there else self._client.create_experiment(EXPERIMENT, artifacts)
        self._parent = self._found({RUN: run.key, TRIAL: ""}, run.name, 0.0)
        self._client.update_run(self._parent, status=RunStatus.to_string(RunStatus.RUNNING))
        self._runs: dict[str, str] = {}

    def tell(self, story: TrialStory) -> None:
        tags = {RUN: self._run.key, TRIAL: story.trial, MLFLOW_PARENT_RUN_ID: self._parent}
        if story.trial not in self._runs:
            self._runs[story.trial] = self._found(tags, story.trial, story.begun)
        run_id = self._runs[story.trial]
        known = self._client.get_run(run_id).data.metrics
        points = [
            Metric(name, value, int(1000 * point.time), point.step)
            for name in {name for point in story.points for name in point.values}
            for point in story.points[self._num_known(run_id, name, name in known) :]
            for value in [point.values.get(name)]
            if value is not None
        ]
        points += [
            Metric(name, value, int(1000 * story.ended), 0)
            for name, value in story.figures.items()
            if name not in known
        ]
        for start in range(0, len(points), _LONGEST):
            self._client.log_batch(run_id, metrics=points[start : start + _LONGEST])
        self._client.log_batch(
            run_id,
            params=[Param(name, value[:_LONGEST]) for name, value in story.parameters.items()],
            tags=[
                RunTag(name, value) for name, value in (story.tags | {"error": story.error[-5000:]}).items() if value
            ],
        )
        if story.state == "open":
            self._client.update_run(run_id, status=RunStatus.to_string(RunStatus.RUNNING))
        else:
            status = RunStatus.to_string(_STATUS[story.state])
            self._client.set_terminated(run_id, status=status, end_time=int(1000 * story.ended))

    def finish(self) -> None:
        for name, path in self._run.artifacts.items():
            if path.is_dir():
                self._client.log_artifacts(self._parent, str(path), name)
            else:
                self._client.log_artifact(self._parent, str(path))
        self._client.set_terminated(self._parent)

    def close(self) -> None:
        """Every call has been made when it returned."""

    def _found(self, tags: Mapping[str, str], name: str, begun: float) -> str:
        """The run with these tags, made where there is none."""
        wanted = " and ".join(f"tags.`{tag}` = '{tags[tag]}'" for tag in (RUN, TRIAL))
        found = self._client.search_runs([self._experiment], wanted, max_results=1)
        if found:
            return str(found[0].info.run_id)
        made = self._client.create_run(
            self._experiment, int(1000 * begun) or None, {**tags, MLFLOW_RUN_NAME: name}, run_name=name
        )
        return str(made.info.run_id)

    def _num_known(self, run_id: str, name: str, is_known: bool) -> int:
        """The reports of a trial that are there already: steps are told in order, and some hold no such figure."""
        if not is_known:
            return 0
        return 1 + max(metric.step for metric in self._client.get_metric_history(run_id, name))
