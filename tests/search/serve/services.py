"""A service without a port, and folders of searches as they are left by real ones."""

import json
import threading
import time

import uvicorn
import yaml
from rich.console import Console
from starlette.testclient import TestClient

from dataset.prepare import DataOptions
from search.candidate import Candidate, Origin
from search.records.journal import Journal
from search.serve.app import create_app
from search.serve.folder import SearchFolder
from search.serve.jobs import Jobs
from search.serve.settings import ServiceSettings
from tests.patience import HANG_S

TOKEN = "a-token-of-the-tests"
SPACE = b"""
datasets: []
architecture:
  hidden_size: [16, 32]
  num_heads: [2]
  encoder_layers: [2, 4]
  operation_types: [sa, l]
  number_of_feed-forward_stacks: [1]
  feed-forward_hidden: [32, 64]
  operation_parameters: {sa: [sdp], l: [dct]}
"""
ROWS = [f"a {'fine and happy' if i % 2 else 'dull and sad'} story {i},{'good' if i % 2 else 'bad'}" for i in range(40)]
TABLE = "\n".join(["review,verdict", *ROWS]).encode()


class Served:
    """A service on a port, which queues and starts nothing; its jobs and its address."""

    def __init__(self, root, **settings):
        self.root = root
        self.jobs = Jobs(ServiceSettings(root=root, token=TOKEN, **({"max_running": 0} | settings)))
        app = create_app(self.jobs, is_ending=lambda: self._server.should_exit)
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        wait_until(lambda: self._server.started)
        host, port = self._server.servers[0].sockets[0].getsockname()
        self.address = f"http://{host}:{port}"

    def end(self):
        self._server.should_exit = True
        self._thread.join()


class Service:
    """A client of a service that queues and starts nothing, its jobs and its root."""

    def __init__(self, root, **settings):
        self.root = root
        self.jobs = Jobs(ServiceSettings(root=root, token=TOKEN, **({"max_running": 0} | settings)))
        self.client = TestClient(create_app(self.jobs), headers={"Authorization": f"Bearer {TOKEN}"})

    def submit(self, **parts):
        """Submit ``parts`` (bytes or (name, bytes) are files); by default the small space on the embedded task."""
        parts = {"design_space": SPACE} | parts
        files, data = [], {}
        for name, value in parts.items():
            if isinstance(value, bytes | tuple):
                suffix = {"design_space": "yaml", "library": "json", "corpus": "txt"}.get(name, "csv")
                given = value if isinstance(value, tuple) else (f"my {name}.{suffix}", value)
                files.append((name, given))
            elif value is not None:
                data[name] = json.dumps(value) if isinstance(value, dict) else value
        return self.client.post("/api/searches", data=data, files=files)

    def accepted(self, **parts):
        answer = self.submit(**parts)
        assert answer.status_code == 201, answer.text
        return SearchFolder(self.root / "searches" / answer.json()["id"])

    def get(self, folder, what=""):
        return self.client.get(f"/api/searches/{folder.id}{what}")

    def post(self, folder, what, **arguments):
        return self.client.post(f"/api/searches/{folder.id}/{what}", **arguments)


def wait_until(is_so, seconds=HANG_S):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def prepare(folder, place):
    """The data of ``TABLE`` as a search prepares them; ``place`` is for its sources."""
    (place / "films.csv").write_bytes(TABLE)
    (place / "corpus.txt").write_text("\n".join(f"a story about people and films, number {i}" for i in range(100)))
    options = DataOptions(
        task=str(place / "films.csv"), corpus=(place / "corpus.txt",), vocab_size=300, max_length=16, pretrain_length=16
    )
    options.prepare(folder.run.data_dir, Console(quiet=True))


def train(folder, library, *, finished=3, running=1, errors=None):
    """A run directory with a journal of trials and models of the finished ones, as a search leaves them; with standard
    errors of scores, if any."""
    run = folder.run
    run.path.mkdir(exist_ok=True)
    library.save(folder.path / "library.json")
    config = {"task": str(folder.path / "films.csv"), "dataset_file": str(folder.path / "library.json")}
    run.config_file.write_text(yaml.safe_dump(config | {"library_fingerprint": library.fingerprint}))
    journal = Journal(run.path / "journal.jsonl")
    for number, spec in enumerate(library.specs[: finished + running + 2], start=1):
        trial = f"t{number:04d}"
        journal.append("suggested", trial, **Candidate(spec, Origin()).to_dict())
        if number > finished + running + 1:
            continue
        journal.append("started", trial)
        journal.append("reported", trial, phase="fine-tuning", progress=0.25, loss=0.7)
        if number <= finished:
            objectives = {"parameters": 1e4 * number, "latency_ms": 2.5}
            objectives |= {} if errors is None else {"score_error": errors}
            journal.append("finished", trial, score=0.5 + number / 100, objectives=objectives, cost_s=2.0)
            model = run.models_dir / spec.hash
            model.mkdir(parents=True)
            (model / "config.json").write_text(json.dumps({"number": number}))
            (model / "model.safetensors").write_bytes(bytes(range(256)) * 5000)
        elif number > finished + running:
            journal.append("failed", trial, error="out of memory")
    return run
