"""Random kills over a search: of its driver, of its workers, of nodes of its cluster. Is a trial lost, or repeated?

    python -m tests.benchmarks.kills [--kills 50] [--trials 40] [--seed 0] [--work_dir DIR] [--encoder]

Two searches with one seed over a Ray cluster of a head and two nodes, one trial at a time: one in peace, one that
something is killed in again and again, at a random moment after a new event in the journal: else the first trial would
never end. A driver that was killed is started again with ``--resume``, a node is
replaced. At the end the journals must hold the same trials, each finished once, with the same scores.

With ``--encoder`` both search, on two levels and for two objectives, the parts of a small BERT together with the
library: these are screened, a teacher's logits are computed, and everything travels through a storage.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from ray.cluster_utils import Cluster

from design_space import DesignSpace
from embeddings import GraphLibrary
from search.records.journal import Journal
from tests.search.encoders import write_bert

ROOT = Path(__file__).resolve().parents[2]
SPACE = {
    "architecture": {
        "hidden_size": [16, 32],
        "num_heads": [2],
        "encoder_layers": [2, 4],
        "operation_types": ["sa", "l", "c"],
        "number_of_feed-forward_stacks": [1],
        "feed-forward_hidden": [32, 64],
        "operation_parameters": {"sa": ["sdp", "wma"], "l": ["dct"], "c": [5]},
    }
}
FLAGS = (
    "--pretrain_steps 40 --epochs 2 --vocab_size 300 --max_length 16 --num_init 5 --min_overlap 0.3 "
    "--max_concurrent 1 --patience 1000"
).split()
OF_ENCODER = "--screen 8 --objectives score parameters --levels 2,1".split()
_LONGEST_S = 3600.0


def main(arguments: list[str] | None = None) -> None:
    """Run both searches, compare them, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", action="store_true")
    parser.add_argument("--work_dir", type=Path, default=Path(tempfile.gettempdir()) / "kills")
    options = parser.parse_args(arguments)
    os.environ["RAY_AUTH_MODE"] = "disabled"
    shutil.rmtree(options.work_dir, ignore_errors=True)
    peaceful = _search(options.work_dir / "peaceful", options, num_kills=0)
    disturbed = _search(options.work_dir / "disturbed", options, num_kills=options.kills)
    trials = [
        {
            (level, name): (record.candidate.spec.hash, record.state, record.score)
            for level, journal in enumerate(_journals(run))
            for name, record in journal.trials().items()
        }
        for run in (peaceful, disturbed)
    ]
    finished = Counter((level, event["trial"]) for level, event in _events(disturbed) if event["event"] == "finished")
    different = [name for name in trials[0].keys() | trials[1].keys() if trials[0].get(name) != trials[1].get(name)]
    print(
        f"trials finished {len(finished)} of {options.trials}, finished more than once "
        f"{sum(number > 1 for number in finished.values())}, unlike those of the undisturbed run {len(different)}"
    )
    if different or set(finished.values()) != {1} or len(finished) != options.trials:
        sys.exit(f"Not the same: {sorted(different)}")


def _search(folder: Path, options: argparse.Namespace, *, num_kills: int) -> Path:
    """The run directory of one search, at its end; prints what was killed."""
    flags = [*_files(folder), *FLAGS, "--seed", str(options.seed), "--max_trials"]
    if options.encoder:
        bert = write_bert(folder / "bert", num_hidden_layers=4)
        places = ["--start_from", str(bert), "--storage", str(folder / "storage")]
        flags += [f"{options.trials - options.trials // 2},{options.trials // 2}", *OF_ENCODER, *places]
    else:
        flags.append(str(options.trials))
    rng = random.Random(options.seed)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "dashboard_port": None})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    killed: Counter[str] = Counter()
    begin, num_seen = time.monotonic(), 0
    driver = _start(flags, cluster, folder)
    try:
        while True:
            pause = rng.uniform(0.5, 6) if sum(killed.values()) < num_kills else 5.0
            try:
                code = driver.wait(timeout=pause)
            except subprocess.TimeoutExpired:
                code = None
            if code == 0:
                break
            if code is not None or time.monotonic() - begin > _LONGEST_S:
                sys.exit(f"The search ended with {code}:\n{(folder / 'log.txt').read_text()[-3000:]}")
            num_events = sum(event["event"] in ("started", "reported") for _, event in _events(folder / "run"))
            if sum(killed.values()) >= num_kills or num_events == num_seen:
                continue
            what = rng.choice(["driver", "worker", "node"])
            if what == "driver":
                driver.kill()
                driver.wait()
                driver = _start([*flags, "--resume"], cluster, folder)
            elif what == "worker" and not _kill_a_worker(cluster, rng):
                continue
            elif what == "node":
                cluster.remove_node(nodes.pop(rng.randrange(len(nodes))), allow_graceful=False)
                nodes.append(cluster.add_node(num_cpus=1))
            killed[what] += 1
            num_seen = num_events
    finally:
        if driver.poll() is None:
            driver.kill()
        cluster.shutdown()
    print(f"{num_kills} kills asked for, {dict(killed)} made; {time.monotonic() - begin:.0f} s", flush=True)
    return folder / "run"


def _journals(run: Path) -> list[Journal]:
    """Those of the levels that have begun, or of a search without levels."""
    return [Journal(path) for path in sorted([*run.glob("journal.jsonl"), *run.glob("level-*/journal.jsonl")])]


def _events(run: Path) -> list[tuple[int, dict[str, Any]]]:
    """Each with the number of its level."""
    return [(level, event) for level, journal in enumerate(_journals(run)) for event in journal.events()]


def _kill_a_worker(cluster: Cluster, rng: random.Random) -> bool:
    """SIGKILL for a process of the cluster that trains; False when there is none."""
    nodes = [started for node in cluster.list_all_nodes() for started in node.all_processes["raylet"]]
    raylets = {started.process.pid for started in nodes}
    training = [
        process
        for process in psutil.process_iter(["cmdline", "ppid"])
        if process.info["ppid"] in raylets and "".join(process.info["cmdline"] or []).startswith("ray::ImplicitFunc")
    ]
    if not training:
        return False
    os.kill(rng.choice(training).pid, signal.SIGKILL)
    return True


def _start(flags: list[str], cluster: Cluster, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "search.run_boshnas", *flags, "--address", cluster.address]
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)


def _files(folder: Path) -> list[str]:
    """A library, a table and a corpus; the flags that name them."""
    folder.mkdir(parents=True)
    space = DesignSpace.from_dict(SPACE)
    GraphLibrary.build(space, layers_per_stack=2, embedding_size=8, num_neighbors=10).save(folder / "library.json")
    words = "calm odd grey kind loud new old plain quick rare".split()
    rng = random.Random(0)
    rows = []
    for i in range(240):
        text = " ".join(rng.choices([*words, "fine" if i % 2 else "dull"], k=6))
        rows.append(f"a {text} story,{'good' if i % 2 else 'bad'}")
    (folder / "films.csv").write_text("\n".join(["review,verdict", *rows]))
    (folder / "corpus.txt").write_text("\n".join(f"a {' '.join(rng.choices(words, k=6))} story" for _ in range(200)))
    task = ["--task", str(folder / "films.csv"), "--corpus", str(folder / "corpus.txt")]
    return ["--dataset_file", str(folder / "library.json"), "--run_dir", str(folder / "run"), *task]


if __name__ == "__main__":
    main()
