"""How long a service with many searches takes to answer many clients that look again and again.

    python -m tests.benchmarks.polling [--searches 200] [--trials 20] [--clients 20] [--seconds 60] [--pause_s 1]

Each client asks in turn for the list of all searches and for one of them, and pauses. The service is a process of its
own, and starts no search. Percentiles of the seconds until an answer was there, and what was not answered with a 200.
"""

import argparse
import itertools
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import yaml
from rich.console import Console

from design_space import DesignSpace
from embeddings import GraphLibrary
from search.serve.__main__ import serve_on
from search.serve.settings import ServiceSettings
from tests.search.serve.services import SPACE, TOKEN, Service, train

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Make the searches, start service and clients, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pause_s", type=float, default=1)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        _serve(Path(arguments.serve))
        return
    with tempfile.TemporaryDirectory() as folder:
        names = _searches(Path(folder), arguments.searches, arguments.trials)
        command = [sys.executable, "-m", "tests.benchmarks.polling", "--serve", folder]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as service:
            assert service.stdout is not None
            address = service.stdout.readline().removeprefix("Page:").strip()
            seconds, codes = _polled(address, names, arguments)
            service.terminate()
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    print(
        f"{arguments.searches} searches of {arguments.trials} trials, {arguments.clients} clients, {len(seconds):,} "
        f"answers: p50 {p50:.3f} s, p95 {p95:.3f}, p99 {p99:.3f}, longest {max(seconds):.3f}; {dict(codes)}"
    )


def _searches(root: Path, count: int, trials: int) -> list[str]:
    """Folders of so many searches, as real ones leave them: one that was handed in, and copies of it."""
    library = GraphLibrary.build(DesignSpace.from_dict(yaml.safe_load(SPACE)), layers_per_stack=2, embedding_size=4)
    service = Service(root)
    with service.client:
        first = service.accepted()
        train(first, library, finished=trials)
        names = [first.id, *(f"20260101-000000-{number:08x}" for number in range(1, count))]
        for name in names[1:]:
            shutil.copytree(first.path, first.path.with_name(name))
    return names


def _serve(root: Path) -> None:
    """Until interrupted."""
    settings = ServiceSettings(root=root, token=TOKEN, max_running=0, max_queued=1000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serve_on(listener, settings, Console(soft_wrap=True), is_token_new=False)


def _polled(address: str, names: list[str], arguments: argparse.Namespace) -> tuple[list[float], Counter[int]]:
    """Seconds until each answer, and how often each status came."""
    seconds: list[float] = []
    codes: Counter[int] = Counter()
    end = time.monotonic() + arguments.seconds

    def poll(number: int) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
            for name in itertools.cycle(names[number:] + names[:number]):
                for path in ("/api/searches", f"/api/searches/{name}"):
                    begin = time.monotonic()
                    codes[client.get(path).status_code] += 1
                    seconds.append(time.monotonic() - begin)
                    time.sleep(arguments.pause_s)
                if time.monotonic() > end:
                    return

    threads = [threading.Thread(target=poll, args=(number,)) for number in range(arguments.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds, codes


if __name__ == "__main__":
    main()
