"""Stops and resumes that race each other over one search of the service. Is a trial lost, or repeated?

    python -m tests.benchmarks.racing [--requests 60] [--clients 4] [--trials 8] [--steps 2000] [--seed 0]

Each client asks at random moments for a stop or a resume, whichever state the search is in; one that is asked twice to
stop is killed. Then the search is resumed until it has finished. Its journal must hold each trial, finished once; no
answer may be other than 202 or 409, and no process may be left.
"""

import argparse
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from search.records.journal import Journal
from tests.patience import HANG_S
from tests.search.serve.server import Server, processes_of
from tests.search.serve.services import wait_until

_LONGEST_PAUSE_S = 40.0


def main() -> None:
    """Race, let the search finish, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=60, help="that were accepted")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2000, help="of pre-training, so that trials are met in the middle")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        server = Server(root)
        options = {"max_trials": arguments.trials, "max_concurrent": 1, "pretrain_steps": arguments.steps}
        search_id = server.submit(None, **options)
        codes = _raced(server, search_id, arguments)
        while (state := server.status(search_id)["state"]) != "finished":
            assert state != "failed", server.status(search_id)["error"]
            if state in ("stopped", "interrupted"):
                server.client.post(f"/api/searches/{search_id}/resume")
            time.sleep(1)
        server.end(signal.SIGTERM)
        wait_until(lambda: not processes_of(root), HANG_S)
        events = list(Journal(root / "searches" / search_id / "run" / "journal.jsonl").events())
    finished = Counter(event["trial"] for event in events if event["event"] == "finished")
    answers = ", ".join(f"{what} {code}: {count}" for (what, code), count in sorted(codes.items()))
    print(
        f"{answers}; trials finished {len(finished)} of {arguments.trials}, more than once "
        f"{sum(count > 1 for count in finished.values())}, taken up "
        f"{sum(event['event'] == 'started' for event in events)} times"
    )


def _raced(server: Server, search_id: str, arguments: argparse.Namespace) -> Counter[tuple[str, int]]:
    """How often each question was answered by each status, until enough were accepted."""
    codes: Counter[tuple[str, int]] = Counter()
    mutex = threading.Lock()

    def ask(number: int) -> None:
        generator = random.Random(f"{arguments.seed}-{number}")
        while sum(count for (_, code), count in codes.items() if code == 202) < arguments.requests:
            time.sleep(generator.uniform(0, _LONGEST_PAUSE_S))
            what = generator.choice(["stop", "resume"])
            code = server.client.post(f"/api/searches/{search_id}/{what}").status_code
            with mutex:
                codes[what, code] += 1

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(arguments.clients)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return codes


if __name__ == "__main__":
    main()
