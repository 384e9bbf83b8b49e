"""A search over a real Ray cluster, one of whose nodes dies."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from search.records.journal import Journal
from search.tune.cluster import check_resources
from tests.patience import HANG_S
from tests.search.tune.clusters import head_node

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
        deadline = time.monotonic() + HANG_S
        while not _is_training(journal, "t0002"):
            assert process.poll() is None, (tmp_path / "log.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        cluster.add_node(num_cpus=1)
        cluster.remove_node(first, allow_graceful=False)
        assert process.wait(timeout=HANG_S) == 0, (tmp_path / "log.txt").read_text()
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


class _Console:
    """Does something when something is said."""

    def __init__(self, act):
        self.said, self._act = [], act

    def print(self, text, **_):
        self.said.append(text)
        self._act()


@pytest.mark.integration
def test_a_node_that_joins_late_is_waited_for(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "dashboard_port": None})
    try:
        ray.init(cluster.address, log_to_driver=False)
        none_comes = _Console(lambda: None)
        with pytest.raises(ValueError, match=r"must fit on one node. Got 1 CPU; there is: 0 CPU, 0 GPU"):
            check_resources({"cpu": 1.0}, none_comes, patience_s=0.1)
        assert none_comes.said == ["Waiting up to 0 s for a node with 1 CPU; there is: 0 CPU, 0 GPU"]
        one_comes = _Console(lambda: cluster.add_node(num_cpus=1))
        check_resources({"cpu": 1.0}, one_comes, patience_s=60)
        assert len(one_comes.said) == 1
        told_at_once = _Console(lambda: None)
        check_resources({"cpu": 1.0, "gpu": 0.0}, told_at_once, patience_s=60)
        with pytest.raises(ValueError, match="Got 2 CPU"):
            check_resources({"cpu": 2.0}, told_at_once, patience_s=0)
        assert told_at_once.said == []
    finally:
        ray.shutdown()
        cluster.shutdown()


LISTEN = """
import psutil
from search.tune.cluster import ray_cluster
with ray_cluster(None):
    for process in psutil.Process().children(recursive=True):
        for one in process.net_connections("tcp"):
            if one.status == "LISTEN":
                print("listens on", one.laddr.ip)
"""


@pytest.mark.integration
@pytest.mark.skipif(sys.platform != "linux", reason="others may not look at sockets")
def test_a_local_ray_is_closed_to_others(tmp_path):
    base = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))  # sockets have short names
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(tmp_path), "TMPDIR": str(base), "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        run = subprocess.run(
            [sys.executable, "-c", LISTEN], env=environment, capture_output=True, text=True, timeout=HANG_S
        )
        assert run.returncode == 0, run.stderr
        addresses = [line.split()[-1] for line in run.stdout.splitlines() if line.startswith("listens on")]
        assert addresses
        assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}
        (own,) = base.glob("ray-*")
        assert own.stat().st_mode & 0o077 == 0
        assert (tmp_path / ".ray").stat().st_mode & 0o077 == 0
        assert (tmp_path / ".ray" / "auth_token").exists()
    finally:
        shutil.rmtree(base)


@pytest.mark.integration
def test_a_cluster_that_asks_for_this_users_token_is_given_it(tmp_path):
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("c0ffee" * 8)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    code = "import sys; from search.tune.cluster import ray_cluster\nwith ray_cluster(sys.argv[1]): print('connected')"
    with head_node(environment | {"RAY_AUTH_MODE": "token"}) as address:
        run, stranger = (
            subprocess.run(
                [sys.executable, "-c", code, address], env=each, capture_output=True, text=True, timeout=HANG_S
            )
            for each in (environment, environment | {"RAY_AUTH_TOKEN": "badbad" * 8})
        )
    assert run.stdout == "connected\n", run.stderr
    assert f"ValueError: The Ray cluster at '{address}' asks for another token than this user's" in stranger.stderr
