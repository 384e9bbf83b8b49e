"""A real search that is killed three times has one run a trial in its trackers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.records.journal import Journal

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.filterwarnings("default")  # of the trackers' libraries
def test_a_search_that_is_killed_three_times_has_one_run_a_trial(tmp_path, tiny_library):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra 'track'")
    pytest.importorskip("tensorboard", reason="needs the extra 'track'")
    tiny_library.save(tmp_path / "library.json")
    rows = [f"a {'fine' if i % 2 else 'dull'} story number {i},{'good' if i % 2 else 'bad'}" for i in range(120)]
    (tmp_path / "films.csv").write_text("\n".join(["review,verdict", *rows]))
    flags = "--dataset_file library.json --run_dir run --task films.csv --pretrain_steps 0 --epochs 2 --num_init 1"
    flags += " --vocab_size 300 --max_length 16 --max_concurrent 1 --quiet"
    flags += " --track mlflow:sqlite:///runs.db tensorboard:board"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "flexibert_nas", "run_boshnas"]
    journal = Journal(tmp_path / "run" / "journal.jsonl")
    for kill in range(4):
        options = ["--run_dir", "run", "--resume"] if kill else flags.split()
        started = subprocess.Popen(
            [*command, *options, "--max_trials", "4"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if kill < 3:
            while started.poll() is None and _num_finished(journal) <= kill:
                time.sleep(0.2)
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
        else:
            _, said = started.communicate()
            assert started.returncode == 0, said.decode()[-3000:]
    trials = {event["trial"] for event in journal.events()}
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/runs.db")
    runs = client.search_runs([client.get_experiment_by_name("flexibert-nas").experiment_id])
    assert sorted(one.info.run_name for one in runs) == sorted([*trials, "run"])
    finished = {event["trial"]: event["score"] for event in journal.events() if event["event"] == "finished"}
    assert {one.info.run_name: one.data.metrics["score"] for one in runs if "score" in one.data.metrics} == finished
    assert all(len(client.get_metric_history(one.info.run_id, "score")) <= 1 for one in runs)
    assert len(finished) == 4
    (board,) = (tmp_path / "board").iterdir()
    assert {path.name for path in board.iterdir() if path.is_dir()} == trials


def _num_finished(journal: Journal) -> int:
    return sum(event["event"] == "finished" for event in journal.events())
