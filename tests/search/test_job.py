"""A search as a job of a Ray cluster: ``ray job submit``."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.records.journal import Journal
from tests.patience import HANG_S

pytest.importorskip("aiohttp", reason="needs ray[default]")

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.integration
def test_a_search_runs_as_a_submitted_job(tmp_path, tiny_library):
    tiny_library.save(tmp_path / "library.json")
    rows = [f"a {'fine' if i % 2 else 'dull'} story number {i},{'good' if i % 2 else 'bad'}" for i in range(120)]
    (tmp_path / "films.csv").write_text("\n".join(["review,verdict", *rows]))
    flags = [
        "--dataset_file",
        tmp_path / "library.json",
        "--run_dir",
        tmp_path / "run",
        "--task",
        tmp_path / "films.csv",
    ]
    flags += ["--pretrain_steps", 0, "--epochs", 1, "--vocab_size", 300, "--max_length", 16, "--max_trials", 1]
    port, dashboard, agent, client = (_free_port() for _ in range(4))
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    address = f"http://127.0.0.1:{dashboard}"
    # All of them: where another cluster of this machine has the usual port of the agent, no job ever starts.
    ports = ["--port", str(port), "--include-dashboard", "true", "--dashboard-port", str(dashboard)]
    ports += ["--dashboard-agent-listen-port", str(agent), "--ray-client-server-port", str(client)]
    head = subprocess.Popen(
        [_ray(), "start", "--head", "--block", "--num-cpus", "1", "--node-ip-address", "127.0.0.1", *ports],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(dashboard, head)
        job = [sys.executable, "-m", "search.run_boshnas", *map(str, flags), "--address", "auto"]
        submit = [_ray(), "job", "submit", "--address", address, "--", *job]
        for _ in range(60):
            submitted = subprocess.run(submit, env=environment, capture_output=True, text=True, timeout=HANG_S)
            if "No available agent" not in submitted.stderr:  # it may listen before it can start jobs
                break
            time.sleep(1)
        assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    finally:
        os.killpg(head.pid, 15)
        head.wait(timeout=HANG_S)
    assert "Best: t000" in submitted.stdout
    (record,) = Journal(tmp_path / "run" / "journal.jsonl").trials().values()
    assert record.state == "finished"


def _ray() -> str:
    path = shutil.which("ray", path=str(Path(sys.executable).parent))
    assert path is not None
    return path


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until something listens there."""
    deadline = time.monotonic() + HANG_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, "the head of the cluster has ended"
            assert time.monotonic() < deadline, "the head of the cluster does not answer"
            time.sleep(0.5)
