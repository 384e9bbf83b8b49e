"""States of searches: queue, start, stop, resume, and what a service finds that comes after one that died."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from design_space.files import read_yaml
from search.serve import worker
from search.serve.folder import SearchFolder
from search.serve.jobs import Jobs, UnknownSearchError
from search.serve.settings import ServiceSettings
from tests.patience import HANG_S
from tests.search.serve.services import SPACE, TOKEN, Service, train, wait_until

PATIENT = (
    "import signal, time\n"
    "def end(number, frame): raise SystemExit(130)\n"
    "signal.signal(signal.SIGINT, end)\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)"
)
DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


def _state(service, folder):
    return service.get(folder).json()["state"]


def _is_ready(folder):
    return "ready" in folder.log()


@pytest.mark.parametrize(
    "search_id", ["20260101-000000-00000000", "x", "..", "%2e%2e", "..%2f..%2fetc", "20260101-000000-0000000Z", "%00"]
)
def test_an_unknown_search_is_not_found(service, search_id):
    for method, what in [("GET", ""), ("GET", "/model"), ("GET", "/report"), ("GET", "/log"), ("POST", "/stop")]:
        answer = service.client.request(method, f"/api/searches/{search_id}{what}")
        assert answer.status_code in (404, 405)
        assert answer.json()["detail"]
    assert service.client.post(f"/api/searches/{search_id}/resume").status_code in (404, 405)


@pytest.mark.parametrize("search_id", ["../outside", "..", "inside"])
def test_only_folders_named_by_the_service_are_searches(service, search_id):
    place = service.root / "searches" / search_id
    place.mkdir(exist_ok=True)
    (place / "search.json").write_text("{}")
    with pytest.raises(UnknownSearchError, match=f"There is no search '{search_id}'"):
        service.jobs.find(search_id)


def test_a_folder_that_is_no_search_is_none(service):
    folder = service.accepted()
    (folder.path / "search.json").rename(folder.path / "other.json")
    answer = service.get(folder)
    assert answer.status_code == 404
    assert answer.json() == {"detail": f"There is no search '{folder.id}'"}
    (service.root / "searches" / "lost+found").mkdir()
    assert service.client.get("/api/searches").json() == []


def test_the_queue_is_kept_in_order_and_has_an_end(tmp_path):
    service = Service(tmp_path / "root", max_queued=2)
    first, second = service.accepted(), service.accepted()
    answer = service.submit()
    assert answer.status_code == 429
    assert answer.json() == {"detail": "2 searches wait already; try again when one has ended"}
    assert [service.get(folder).json()["queue_position"] for folder in (first, second)] == [1, 2]
    assert service.post(first, "stop").json()["state"] == "stopped"
    assert service.get(second).json()["queue_position"] == 1
    third = service.accepted()
    assert service.post(first, "resume").status_code == 429
    service.post(second, "stop")
    assert service.post(first, "resume").json()["queue_position"] == 2
    assert service.get(third).json()["queue_position"] == 1


def test_what_cannot_be_done_in_a_state_is_a_conflict(service, tiny_library):
    folder = service.accepted()
    assert service.post(folder, "resume").status_code == 409
    assert service.post(folder, "stop").status_code == 202
    answer = service.post(folder, "stop")
    assert answer.status_code == 409
    assert answer.json() == {"detail": "The search is stopped; there is nothing to stop"}
    for what in ("model", "report"):
        answer = service.get(folder, f"/{what}")
        assert answer.status_code == 409
        assert "stopped and has no" in answer.json()["detail"]
    folder.end("finished")
    assert "give options to go on with" in service.post(folder, "resume").json()["detail"]
    assert service.post(folder, "resume", json={"options": {"max_trials": 9}}).json()["max_trials"] == 9


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"options": {"max_trial": 1}}, "Unknown option 'max_trial' in options. Did you mean 'max_trials'"),
        ({"options": {"run_dir": "/"}}, "'run_dir' in options is not for clients"),
        ({"options": {"min_overlap": 7}}, "'min_overlap' in options must be in [0, 1]. Got 7"),
        ({"option": {}}, "'option': Extra inputs are not permitted"),
        ({"options": [1]}, "'options': Input should be a valid dictionary"),
        ([], "Input should be a valid dictionary"),
    ],
    ids=["name", "place", "value", "field", "list", "body"],
)
def test_wrong_changes_are_refused_and_change_nothing(service, body, message):
    folder = service.accepted(options={"max_trials": 3})
    service.post(folder, "stop")
    answer = service.post(folder, "resume", json=body)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]
    assert str(service.root) not in answer.text
    assert read_yaml(folder.options_file) == {"max_trials": 3}
    assert _state(service, folder) == "stopped"


def test_a_search_that_began_is_resumed(service, tiny_library):
    folder = service.accepted(options={"max_trials": 3})
    train(folder, tiny_library)
    folder.end("stopped")
    service.post(folder, "resume", json={"options": {"max_trials": 5}})
    (search,) = service.jobs._commands(folder)
    assert search[-1] == "--resume"
    assert read_yaml(folder.options_file) == {"max_trials": 5}


def test_a_running_search_is_stopped_gracefully(service, start):
    folder = service.accepted()
    process = start(folder, PATIENT)
    wait_until(lambda: _is_ready(folder))
    status = service.get(folder).json()
    assert (status["state"], status["stage"]) == ("running", "library")
    assert service.post(folder, "resume").status_code == 409
    assert service.post(folder, "stop").json()["state"] in ("stopping", "stopped")
    wait_until(lambda: _state(service, folder) == "stopped")
    assert process.wait(5) == 0
    assert folder.ended["code"] == 130


def test_one_that_does_not_end_is_killed_with_all_below_it(service, start):
    folder = service.accepted()
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {DEAF!r}], start_new_session=True)"
    deaf = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {child}"
    start(folder, deaf, grace_s=0.3)
    wait_until(lambda: _is_ready(folder))
    below = psutil.Process(json.loads((folder.path / "started.json").read_text())["pid"]).children(recursive=True)
    assert len(below) == 2
    service.post(folder, "stop")
    wait_until(lambda: _state(service, folder) == "stopped")
    assert folder.ended["code"] == -signal.SIGKILL
    wait_until(lambda: not any(process.is_running() and process.status() != "zombie" for process in below))


def test_a_second_stop_kills_at_once(service, start):
    folder = service.accepted()
    start(folder, DEAF, grace_s=600)
    wait_until(lambda: _is_ready(folder))
    assert service.post(folder, "stop").json()["state"] == "stopping"
    assert _state(service, folder) == "stopping"
    time.sleep(0.2)
    service.post(folder, "stop")
    wait_until(lambda: _state(service, folder) == "stopped")


def test_the_end_of_a_search_is_told_with_its_reason(service, start):
    folder = service.accepted()
    message = f"error: the file {folder.path}/space.yaml is bad\\nmore of it"
    start(folder, f"import sys; print('early'); sys.exit({message!r}.encode().decode('unicode_escape'))")
    wait_until(lambda: _state(service, folder) == "failed")
    status = service.get(folder).json()
    assert status["error"] == "error: the file space.yaml is bad\nmore of it"
    assert folder.ended["code"] == 1
    assert service.get(folder, "/log").text.startswith("early")
    finished = service.accepted()
    start(finished, "print('done')")
    wait_until(lambda: _state(service, finished) == "finished")
    assert service.get(finished).json()["error"] is None


def test_a_signal_of_someone_else_is_an_interruption(service, start):
    folder = service.accepted()
    process = start(folder, PATIENT)
    wait_until(lambda: _is_ready(folder))
    process.terminate()
    assert process.wait(timeout=HANG_S) is not None
    wait_until(lambda: _state(service, folder) == "interrupted")


def test_a_search_runs_once_however_often_it_is_started(service, start):
    folder = service.accepted()
    start(folder, PATIENT)
    wait_until(lambda: _is_ready(folder))
    (folder.path / "queued").touch()
    again = subprocess.run([sys.executable, "-P", worker.__file__, str(folder.path), "1"], timeout=20, check=False)
    assert again.returncode == 0
    assert folder.log().count("ready") == 1
    assert _state(service, folder) == "running"


def test_a_service_takes_up_what_the_one_before_it_left(tmp_path, start):
    before = Service(tmp_path / "root")
    running, interrupted, queued, stopped, dying = [before.accepted() for _ in range(5)]
    process = start(running, PATIENT)
    (interrupted.path / "queued").unlink()
    before.post(stopped, "stop")
    (dying.path / "queued").unlink()
    (dying.path / "stop").touch()
    half = before.root / "incoming" / "20260101-000000-00000000"
    half.mkdir(parents=True)
    with pytest.raises(ValueError, match="Another service runs on"):
        Jobs(ServiceSettings(root=before.root, token=TOKEN))
    before.jobs.close()
    after = Service(tmp_path / "root")
    states = [_state(after, folder) for folder in (running, interrupted, queued, stopped, dying)]
    assert states == ["running", "queued", "queued", "stopped", "stopped"]
    assert after.get(interrupted).json()["queue_position"] == 1
    assert not half.exists()
    after.post(running, "stop")
    wait_until(lambda: _state(after, running) == "stopped")
    process.wait(5)
    after.jobs.close()


def test_a_command_whose_worker_was_killed_still_counts_and_can_be_stopped(service, start):
    folder = service.accepted()
    code = f"{PATIENT}  # {folder.path}"
    process = start(folder, code)
    wait_until(lambda: _is_ready(folder))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert _state(service, folder) == "running"
    service.post(folder, "stop")
    wait_until(lambda: _state(service, folder) == "stopped")


def test_searches_start_by_themselves_one_at_a_time(tmp_path):
    """With commands that fail at once: the library's space is gone when it is looked for."""
    service = Service(tmp_path / "root", max_running=0)
    folders = [service.accepted() for _ in range(2)]
    for folder in folders:
        (folder.path / "space.yaml").unlink()
    service.jobs.close()
    after = Service(tmp_path / "root", max_running=1)
    wait_until(lambda: _state(after, folders[0]) == "failed", seconds=60)
    assert "space.yaml" in after.get(folders[0]).json()["error"]
    assert after.post(folders[1], "stop").status_code == 202
    wait_until(lambda: _state(after, folders[1]) in ("stopped", "failed"))
    after.jobs.close()


def test_the_token_is_no_business_of_a_search(tmp_path, monkeypatch):
    monkeypatch.setenv("SEARCH_SERVE_TOKEN", TOKEN)
    service = Service(tmp_path / "root")
    folder = service.accepted()
    assert TOKEN not in "".join(path.read_text() for path in folder.path.iterdir() if path.is_file())
    assert SearchFolder(folder.path).request["options"] == {}
    assert SPACE.decode() == (folder.path / "space.yaml").read_text()


@pytest.mark.parametrize(
    ("file", "content", "state"),
    [
        ("search.json", "", "damaged"),
        ("search.json", '{"name": "films"}', "damaged"),
        ("started.json", "", "damaged"),
        ("ended.json", "", "damaged"),
        ("ended.json", '{"state": "asleep"}', "damaged"),
        ("ended.json", "[]", "damaged"),
        ("queued", "", "queued"),
        ("queued", '{"time": null}', "queued"),
    ],
)
def test_a_damaged_file_is_told_and_disturbs_no_other_search(tmp_path, file, content, state):
    service = Service(tmp_path / "root")
    bad, good = service.accepted(), service.accepted()
    if file != "queued":
        bad.end("failed")
    (bad.path / file).write_text(content)
    listed = {status["id"]: status for status in service.client.get("/api/searches").json()}
    assert (listed[bad.id]["state"], listed[good.id]["state"]) == (state, "queued")
    assert (file in (listed[bad.id]["error"] or "")) == (state == "damaged")
    assert service.get(bad).json() == listed[bad.id]
    assert service.jobs._waiting()[0].id == good.id
    if state == "damaged":
        assert str(service.root) not in listed[bad.id]["error"]
        assert service.post(bad, "resume").status_code in (201, 202, 409)
    service.jobs.close()
    after = Service(tmp_path / "root")
    assert _state(after, good) == "queued"
    after.jobs.close()


def test_a_search_that_cannot_be_started_waits_and_holds_nobody_up(tmp_path, monkeypatch):
    service = Service(tmp_path / "root")
    bad, good = service.accepted(), service.accepted()
    started, commands = [], service.jobs._commands
    monkeypatch.setattr(service.jobs, "_free_slots", lambda: 1 - len(started))

    def fail_for_one(folder):
        if folder.id == bad.id:
            raise OSError(28, "No space left on device")
        return commands(folder)

    monkeypatch.setattr(service.jobs, "_commands", fail_for_one)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: started.append(True) or _Done())
    service.jobs._start_next()
    assert list(service.jobs._workers) == [good.id]
    assert service.get(bad).json()["error"] == "OSError: [Errno 28] No space left on device"
    started.clear()
    monkeypatch.setattr(service.jobs, "_commands", commands)
    service.jobs._start_next()
    assert bad.id in service.jobs._workers
    assert service.get(bad).json()["error"] is None
    service.jobs.close()


class _Done:
    """A process that has ended well."""

    returncode = None

    def poll(self):
        return None


def test_one_bad_round_does_not_end_the_scheduler(tmp_path, monkeypatch):
    service, rounds = Service(tmp_path / "root"), []
    monkeypatch.setattr(service.jobs, "_start_next", lambda: rounds.append(1) or 1 / 0)
    wait_until(lambda: len(rounds) > 1)
    assert service.jobs._thread.is_alive()
    service.jobs.close()


def test_to_look_makes_no_file_and_a_removed_search_is_gone(service):
    folder = service.accepted()
    before = {path.name for path in folder.path.iterdir()}
    assert _state(service, folder) == "queued"
    assert {path.name for path in folder.path.iterdir()} == before
    assert "lock" not in before
    shutil.rmtree(folder.path)
    assert service.client.get("/api/searches").json() == []
    assert service.get(folder).status_code == 404
    assert not folder.path.exists()


def test_a_worker_waits_for_space_on_the_disk(tmp_path, monkeypatch):
    full = [OSError(28, "No space left on device"), OSError(122, "Disk quota exceeded")]

    def fsync(_):
        if full:
            raise full.pop()

    monkeypatch.setattr(worker.os, "fsync", fsync)
    monkeypatch.setattr(worker, "_SPACE_POLL_S", 0.0)
    worker._write(tmp_path / "ended.json", {"state": "finished"})
    assert json.loads((tmp_path / "ended.json").read_text()) == {"state": "finished"}
    assert not full
