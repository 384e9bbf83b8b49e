"""The service as a user starts it, on a port, and a client of it that submits real (tiny) searches."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import psutil

from tests.patience import HANG_S
from tests.search.serve.services import SPACE, TABLE, TOKEN

ROOT = Path(__file__).resolve().parents[3]
TINY = {"pretrain_steps": 8, "epochs": 1, "vocab_size": 300, "max_length": 16, "num_init": 1, "surrogate": "gp"}
CORPUS = "\n".join(f"a story about people and films, number {i}" for i in range(100)).encode()


class Server:
    """The command as a user starts it, and a client."""

    def __init__(self, root, *flags):
        command = [sys.executable, "-m", "search.serve", "--root", str(root), "--port", "0", *flags]
        environment = os.environ | {"SEARCH_SERVE_TOKEN": TOKEN}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        address = re.fullmatch(r"Page:  (http://127\.0\.0\.1:\d+)/\n", line)
        assert address, line
        self.client = httpx2.Client(
            base_url=address[1], headers={"Authorization": f"Bearer {TOKEN}"}, timeout=HANG_S, trust_env=False
        )

    def submit(self, library, **options):
        files = {"table": ("films.csv", TABLE), "corpus": ("corpus.txt", CORPUS)}
        files |= {"library": ("a.json", library)} if library else {"design_space": ("space.yaml", SPACE)}
        data = {"options": json.dumps(TINY | options)}
        answer = self.client.post("/api/searches", files=files, data=data)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def status(self, search_id):
        return self.client.get(f"/api/searches/{search_id}").json()

    def follow(self, search_id, is_so, seconds=HANG_S):
        """Every status until one ``is_so``."""
        seen, deadline = [self.status(search_id)], time.monotonic() + seconds
        while not is_so(seen[-1]):
            assert seen[-1]["state"] != "failed", seen[-1]["error"]
            assert time.monotonic() < deadline, seen[-1]
            time.sleep(0.2)
            seen.append(self.status(search_id))
        return seen

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(30)


def processes_of(root):
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(root) in argument for argument in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found
