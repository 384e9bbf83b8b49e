"""Trackers are told what the journal says: one run a trial, whoever was killed and however often it is told."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from design_space import ModelSpec
from search.candidate import Candidate, Origin
from search.records.journal import Journal
from search.records.run_directory import RunDirectory
from search.track import track
from search.tracking.destinations import destination
from search.tracking.follow import followed, tell_all

pytestmark = pytest.mark.filterwarnings("default")  # of the trackers' libraries
LOSSES = [0.9, 0.7, 0.6]


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    """A finished run of three trials: one ended well, one failed, and one of the first's weights is still open."""
    directory = RunDirectory(tmp_path / "films")
    directory.keep({"task": "films", "seed": 0}, "fingerprint")
    journal = directory.journal
    one_layer = {"l": 1, "o": ["sa"], "n": [2], "f": [[8]], "p": ["sdp"]}
    specs = [ModelSpec.from_dict({**one_layer, "h": [width]}) for width in (8, 16, 24)]
    origins = [Origin(), Origin(), Origin("prune", specs[0].hash, density=0.5)]
    for number, (spec, origin) in enumerate(zip(specs, origins, strict=True), start=1):
        trial = f"t{number:04d}"
        journal.append("suggested", trial, **Candidate(spec, origin).to_dict())
        journal.append("started", trial)
        for place, loss in enumerate(LOSSES):
            score = {"validation_score": 0.5 + place / 10} if place else {}
            journal.append("reported", trial, phase="fine-tune", progress=(place + 1) / 3, loss=loss, **score)
    journal.append("finished", "t0001", score=0.75, objectives={"latency_ms": 1.5, "parameters": 5000.0}, cost_s=3.0)
    journal.append("failed", "t0002", error="out of memory")
    directory.best_dir.mkdir()
    (directory.best_dir / "config.json").write_text("{}")
    (directory.path / "report.html").write_text("<p>how it was found</p>")
    directory.summary_file.write_text("# Films")
    return directory


def _cut(run: RunDirectory, num_lines: int) -> None:
    """What a process leaves that was killed while it wrote the next line."""
    lines = run.journal.path.read_bytes().splitlines(keepends=True)
    torn = lines[num_lines][:20] if num_lines < len(lines) else b""
    run.journal.path.write_bytes(b"".join(lines[:num_lines]) + torn)


def _killed_three_times(run, given):
    """Followed up to three places of its journal."""
    whole = run.journal.path.read_bytes()
    for num_lines in (3, 6, 12):
        _cut(run, num_lines)
        with pytest.raises(KeyboardInterrupt), followed(run, [given], Console()):
            raise KeyboardInterrupt
        run.journal.path.write_bytes(whole)


def _in_mlflow(uri: str) -> dict[str, dict]:
    """Of each run, by name, what a person sees."""
    mlflow = pytest.importorskip("mlflow", reason="needs the extra 'track'")
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("flexibert-nas")
    seen = {}
    for one in client.search_runs([experiment.experiment_id]):
        history = {name: client.get_metric_history(one.info.run_id, name) for name in one.data.metrics}
        assert one.info.run_name not in seen
        seen[one.info.run_name] = {
            "id": one.info.run_id,
            "status": one.info.status,
            "parent": one.data.tags.get("mlflow.parentRunId"),
            "params": one.data.params,
            "tags": one.data.tags,
            "curves": {
                name: [(m.step, m.value) for m in sorted(points, key=lambda m: m.step)]
                for name, points in history.items()
            },
            "files": sorted(file.path for file in client.list_artifacts(one.info.run_id)),
        }
    return seen


@pytest.mark.parametrize("kind", ["folder", "sqlite"])
def test_mlflow_has_one_run_a_trial_after_three_kills(run, tmp_path, monkeypatch, kind):
    pytest.importorskip("mlflow", reason="needs the extra 'track'")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/runs.db" if kind == "sqlite" else (tmp_path / "runs").as_uri()
    given = destination("mlflow:sqlite:///runs.db" if kind == "sqlite" else "mlflow:runs")
    _killed_three_times(run, given)
    assert tell_all(run, [given]) == 3
    seen = _in_mlflow(uri)
    assert sorted(seen) == ["films", "t0001", "t0002", "t0003"]
    parent, first, second, third = (seen[name] for name in sorted(seen))
    assert [one["parent"] for one in (parent, first, second, third)] == [None, *[parent["id"]] * 3]
    assert [one["status"] for one in (parent, first, second, third)] == ["FINISHED", "FINISHED", "FAILED", "RUNNING"]
    assert parent["files"] == ["best", "config.yaml", "report.html", "summary.md"]
    for one in (first, second, third):
        assert one["curves"]["loss"] == list(enumerate(LOSSES))
        assert one["curves"]["validation_score"] == [(1, 0.6), (2, 0.7)]
    assert first["curves"]["score"] == [(0, 0.75)]
    assert first["curves"]["latency_ms"] == [(0, 1.5)]
    assert first["params"]["architecture"] == "1 x sa-sdp 8/2 ff 8"
    assert (third["params"]["origin"], third["params"]["origin.density"]) == ("prune", "0.5")
    assert third["tags"]["parents"] == "t0001"
    assert second["tags"]["error"] == "out of memory"
    track([str(run.path), "--track", given])
    assert _in_mlflow(uri) == seen


def _in_tensorboard(folder: Path) -> dict[str, dict]:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs 'track'")
    seen = {}
    for place in sorted({file.parent for file in folder.rglob("events.*")}):
        events = loading.EventAccumulator(str(place))
        events.Reload()
        seen[place.relative_to(folder).as_posix()] = {
            name: [(point.step, round(point.value, 4)) for point in events.Scalars(name)]
            for name in events.Tags()["scalars"]
        }
    return seen


def test_tensorboard_has_one_folder_a_trial_after_three_kills(run, tmp_path):
    given = destination(f"tensorboard:{tmp_path / 'board'}")
    _killed_three_times(run, given)
    tell_all(run, [given])
    (of_run,) = (tmp_path / "board").iterdir()
    seen = _in_tensorboard(of_run)
    assert sorted(seen) == [".", "t0001", "t0002", "t0003"]
    for trial in ("t0001", "t0002", "t0003"):
        assert seen[trial]["loss"] == list(enumerate(LOSSES))
    assert seen["t0001"]["result/score"] == [(0, 0.75)]


def test_wandb_writes_one_run_for_each_trial_that_has_ended(run, monkeypatch, tmp_path):
    pytest.importorskip("wandb", reason="needs the extra 'track'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    for _ in range(2):
        tell_all(run, ["wandb:films"])
    written = sorted(path.name.split("-", 3)[3] for path in (run.path / "wandb").glob("offline-run-*"))
    assert [name.split("-")[1] for name in written] == ["search", "t0001", "t0002"]
    assert json.loads((run.path / "tracked-by-wandb.json").read_text()) == {
        "films": ["t0001 finished", "t0002 failed", "search finished"]
    }


def test_a_trial_is_told_while_the_run_goes_on(run, tmp_path):
    lines = run.journal.path.read_bytes().splitlines(keepends=True)
    given = destination(f"tensorboard:{tmp_path / 'board'}")
    run.journal.path.write_bytes(b"".join(lines[:4]))
    with followed(run, [given], Console()):
        Journal(run.journal.path).append("reported", "t0001", phase="fine-tune", progress=1.0, loss=0.25)
    (of_run,) = (tmp_path / "board").iterdir()
    assert _in_tensorboard(of_run)["t0001"]["loss"] == [(0, 0.9), (1, 0.7), (2, 0.25)]


def test_a_search_does_not_end_with_its_tracker(run, tmp_path, capsys):
    (tmp_path / "board").write_text("a file where a folder should be")
    with followed(run, [destination(f"tensorboard:{tmp_path / 'board'}")], Console()):
        pass
    said = " ".join(capsys.readouterr().out.split())
    assert "The search goes on" in said
    assert f"python -m search.track {run.path} --track tensorboard:" in said
    shutil.rmtree(run.path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clearml", r"must be mlflow\[:URI\], tensorboard:DIR or wandb\[:PROJECT\]. Got 'clearml'"),
        ("tensorboard", "tensorboard:DIR"),
        ("mlflow:https://me:secret@there", "must not hold a password: set MLFLOW_TRACKING_URI"),
    ],
)
def test_what_is_no_destination_is_told(text, message):
    with pytest.raises(ValueError, match=message):
        track(["run", "--track", text])
