"""A search over a real Ray cluster, one of whose nodes dies."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from search.records.journal import Journal

ROOT = Path(__file__).resolve().parents[3]
FLAGS = (
    "--pretrain_steps 60 --epochs 2 --vocab_size 300 --max_length 16 --num_init 2 --min_overlap 0.3 "
    "--surrogate gp --max_trials 3"
).split()


@pytest.mark.integration
def test_a_search_outlives_one_of_its_nodes(tmp_path, tiny_library, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "2")
    tiny_library.save(tmp_path / "library.json")
    rows = [f"a {'fine' if i % 2 else 'dull'} story number {i},{'good' if i % 2 else 'bad'}" for i in range(160)]
    (tmp_path / "films.csv").write_text("\n".join(["review,verdict", *rows]))
    (tmp_path / "corpus.txt").write_text("\n".join(f"a story about people and films, number {i}" for i in range(200)))
    files = ["--dataset_file", str(tmp_path / "library.json"), "--run_dir", str(tmp_path / "run")]
    files += ["--task", str(tmp_path / "films.csv"), "--corpus", str(tmp_path / "corpus.txt")]
    journal = Journal(tmp_path / "run" / "journal.jsonl")
    # No fixed port: where another Ray has it, ours would leave a socket open, a warning in any later test.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "dashboard_port": None})
    try:
        first = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        with (tmp_path / "log.txt").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "search.run_boshnas", *files, *FLAGS, "--address", cluster.address],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 200
        while not _is_training(journal, "t0002"):
            assert process.poll() is None, (tmp_path / "log.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        cluster.add_node(num_cpus=1)
        cluster.remove_node(first, allow_graceful=False)
        assert process.wait(timeout=240) == 0, (tmp_path / "log.txt").read_text()
    finally:
        cluster.shutdown()
    counts = Counter(event["event"] for event in journal.events())
    assert counts["finished"] == counts["suggested"] == 3
    assert counts["started"] > 3  # what the dead node trained was taken up again
    assert {record.state for record in journal.trials().values()} == {"finished"}
    assert (tmp_path / "run" / "report.html").exists()


def _is_training(journal: Journal, trial: str) -> bool:
    last = [event["event"] for event in journal.events() if event["trial"] == trial]
    return bool(last) and last[-1] in ("started", "reported")


@pytest.mark.integration
def test_a_cluster_that_asks_for_this_users_token_is_given_it(tmp_path):
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("c0ffee" * 8)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    head = (
        "from ray.cluster_utils import Cluster\n"
        "cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 0, 'dashboard_port': None})\n"
        "print(cluster.address, flush=True)\n"
        "input()\n"
        "cluster.shutdown()"
    )
    code = "import sys; from search.tune.cluster import ray_cluster\nwith ray_cluster(sys.argv[1]): print('connected')"
    with subprocess.Popen(
        [sys.executable, "-c", head],
        env=environment | {"RAY_AUTH_MODE": "token"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as cluster:
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        try:
            address = next(line for line in cluster.stdout if ":" in line and " " not in line).strip()
            run = subprocess.run(
                [sys.executable, "-c", code, address], env=environment, capture_output=True, text=True, timeout=200
            )
        finally:
            cluster.communicate("\n", timeout=100)
    assert run.stdout == "connected\n", run.stderr
