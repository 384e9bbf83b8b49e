"""The real server on a port, with real (tiny) searches."""

import io
import json
import os
import signal
import zipfile
from collections import Counter

import httpx2
import pytest

from search.records.journal import Journal
from search.serve.__main__ import ServeOptions, serve
from tests.search.serve.server import Server, processes_of
from tests.search.serve.services import wait_until


@pytest.fixture
def servers():
    started = []

    def start(root, *flags):
        started.append(Server(root, *flags))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.communicate()
        server.client.close()


def _has_ended(status):
    return status["state"] == "finished"


@pytest.mark.integration
def test_a_search_from_its_submission_to_its_model(servers, tmp_path, tiny_library):
    root = tmp_path / "root"
    server = servers(root)
    assert httpx2.get(server.client.base_url.join("/api/searches"), trust_env=False).status_code == 401
    tiny_library.save(tmp_path / "library.json")
    search_id = server.submit((tmp_path / "library.json").read_bytes(), max_trials=1, max_concurrent=1)
    seen = server.follow(search_id, _has_ended)
    stages = list(dict.fromkeys(status["stage"] for status in seen if status["state"] == "running"))
    assert stages == ["data", "search"]
    counts = [status["trials"]["finished"] for status in seen]
    assert counts == sorted(counts)
    assert any(status["running_trials"] for status in seen)
    last = seen[-1]
    assert last["trials"] == {"finished": 1, "failed": 0, "running": 0, "open": 0}
    assert last["elapsed_s"] > last["training_s"] > 0
    model = server.client.get(f"/api/searches/{search_id}/model")
    archive = zipfile.ZipFile(io.BytesIO(model.content))
    assert archive.testzip() is None
    best = root / "searches" / search_id / "run" / "best"
    assert {name: archive.read(name) for name in archive.namelist()} == {
        str(path.relative_to(best)): path.read_bytes() for path in best.rglob("*") if path.is_file()
    }
    assert json.loads(archive.read("evaluation.json"))["validation_score"] == last["best"]["score"]
    report = server.client.get(f"/api/searches/{search_id}/report").text
    assert "1 trials finished, 0 failed, 0 open" in report
    said = server.client.post(f"/models/{search_id}/predict", json={"texts": ["a fine and happy story", "sad"]}).json()
    assert (said["model"], said["runtime"]) == ("best", "torch")
    assert [one["label"] in ("good", "bad") for one in said["answers"]] == [True, True]
    server.end()
    wait_until(lambda: not processes_of(root))
    assert {path.name for path in root.iterdir()} <= {"lock", "incoming", "searches"}


@pytest.mark.slow
def test_deaths_stops_and_resumptions_lose_and_repeat_nothing(servers, tmp_path):
    root = tmp_path / "root"
    server = servers(root)
    search_id = server.submit(None, max_trials=5, max_concurrent=1)
    folder = root / "searches" / search_id
    server.follow(search_id, lambda status: status["stage"] == "library")
    server.end(signal.SIGKILL)
    server = servers(root)
    assert server.status(search_id)["state"] == "running"
    server.follow(search_id, lambda status: status["trials"]["finished"] >= 1 and status["running_trials"])
    assert server.client.post(f"/api/searches/{search_id}/stop").status_code == 202
    server.follow(search_id, lambda status: status["state"] == "stopped")
    wait_until(lambda: len(processes_of(root)) == 1)
    assert server.client.get(f"/api/searches/{search_id}/model").status_code == 200
    assert server.client.post(f"/api/searches/{search_id}/resume").status_code == 202
    server.follow(search_id, lambda status: status["state"] == "running")
    server.end(signal.SIGKILL)
    os.killpg(json.loads((folder / "started.json").read_text())["pid"], signal.SIGKILL)
    server = servers(root)
    server.follow(search_id, _has_ended)
    finished = [
        event["trial"] for event in Journal(folder / "run" / "journal.jsonl").events() if event["event"] == "finished"
    ]
    assert Counter(finished) == dict.fromkeys((f"t000{number}" for number in range(1, 6)), 1)
    server.end()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--token", "short"], "'token' must be at least 16 printable ASCII characters"),
        (["--port", "70000"], r"'port' must be in \[0, 65535\]. Got '70000'"),
        (["--max_upload", "0"], "'max_upload' must be a finite number above 0. Got '0'"),
        (["--data_dir", "/nowhere"], "'data_dir' must be a folder. There is none at /nowhere"),
        (["--root", __file__], "'root' must be a folder"),
        (["--encoders", "./nowhere"], "'encoders' must be folders or names on the Hub. There is no folder ./nowhere"),
    ],
    ids=["token", "port", "upload", "data", "root", "encoders"],
)
def test_bad_flags_are_refused(tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        serve(["--root", str(tmp_path), *flags])


def test_it_listens_to_this_machine_alone_unless_told():
    assert ServeOptions().host == "127.0.0.1"
