"""Progress, report and model of a search, from its folder."""

import io
import json
import re
import time
import zipfile
from pathlib import Path

import pytest

from search.candidate import Candidate, Origin, describe
from search.names import spoken_name
from search.records import zipped
from search.records.journal import Journal
from search.serve.http.guard import OPEN_PATHS
from search.serve.progress import Progress
from search.words import architecture
from tests.search.serve.services import prepare, train, wait_until

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def running(service, start, tiny_library):
    folder = service.accepted(options={"max_trials": 10})
    start(folder, SLEEP)
    time.sleep(0.01)
    train(folder, tiny_library)
    return folder


def test_progress_is_what_the_journal_says(service, running, tiny_library):
    status = service.get(running).json()
    assert (status["state"], status["stage"], status["max_trials"]) == ("running", "search", 10)
    assert status["trials"] == {"finished": 3, "failed": 1, "running": 1, "open": 1}
    assert status["training_s"] == 6.0
    best = status["best"]
    assert (best["trial"], best["score"], best["origin"]) == ("t0003", 0.53, "scratch")
    assert best["objectives"] == {"parameters": 3e4, "latency_ms": 2.5}
    assert best["model_dict"] == tiny_library.specs[2].to_dict()
    assert [(one["trial"], one["score"], one["error"]) for one in status["scores"]] == [
        (f"t000{number}", 0.5 + number / 100, 0.0) for number in (1, 2, 3)
    ]
    assert (status["scores"][1]["parameters"], status["scores"][1]["latency_ms"]) == (2e4, 2.5)
    fronts = {cost: [one["trial"] for one in front] for cost, front in status["fronts"].items()}
    assert fronts == {"parameters": ["t0001", "t0002", "t0003"], "latency_ms": ["t0003"]}  # all take the same time
    (trial,) = status["running_trials"]
    assert 0 <= trial.pop("elapsed_s") < 60
    assert trial == {
        "trial": "t0004",
        "name": spoken_name(tiny_library.specs[3].hash),
        "architecture": describe(Candidate(tiny_library.specs[3], Origin())),
        "summary": architecture(tiny_library.specs[3]),
        "phase": "fine-tuning",
        "progress": 0.25,
        "loss": 0.7,
        "validation_score": None,
        "curve": [],
    }
    assert status["failures"] == [{"trial": "t0005", "error": "out of memory"}]


def test_scores_while_they_are_trained_are_those_of_the_last_start(service, running):
    journal = running.run.journal
    for event in ("reported", "started", "reported", "reported"):
        content = {"phase": "fine-tune", "validation_score": 0.5, "epoch": 1.0} if event == "reported" else {}
        journal.append(event, "t0004", **content)
    journal.append("reported", "t0004", phase="fine-tune", loss=0.1)
    assert service.get(running).json()["running_trials"][0]["curve"] == [[1.0, 0.5], [1.0, 0.5]]


def test_the_most_frequent_class_is_that_of_the_prepared_data(service, running, tmp_path):
    assert service.get(running).json()["metric"] is None
    prepare(running, tmp_path)
    status = service.get(running).json()
    assert (status["metric"], status["most_frequent_class"]) == ("accuracy", 0.5)


def test_a_finished_search_tells_what_it_chose_and_its_test(service, tiny_library):
    folder = service.accepted()
    train(folder, tiny_library, errors=0.02)
    folder.run.best_dir.mkdir()
    evaluation = {"trial": "t0002", "split": "test", "metric": "f1", "metrics": {"f1": 0.7}, "score_error": 0.1}
    (folder.run.best_dir / "evaluation.json").write_text(json.dumps(evaluation | {"majority_share": 0.6}))
    folder.end("stopped")
    status = service.get(folder).json()
    assert (status["best"]["trial"], status["best"]["error"], status["tested"]) == ("t0003", 0.02, None)
    folder.end("finished")
    status = service.get(folder).json()
    assert status["best"]["trial"] == "t0002"  # not the highest: the smallest that is not told apart from it
    assert status["tested"] == {
        "trial": "t0002",
        "split": "test",
        "score": 0.7,
        "error": 0.1,
        "most_frequent_class": None,  # its share is an accuracy
    }


def test_the_best_keeps_the_constraints(service, tiny_library):
    folder = service.accepted(options={"constraints": ["parameters=2e4"]})
    train(folder, tiny_library)
    folder.end("stopped")
    assert service.get(folder).json()["best"]["trial"] == "t0002"
    assert json.loads(_files(service.get(folder, "/model"))["config.json"]) == {"number": 2}


def test_it_follows_the_journal(service, running):
    assert service.get(running).json()["trials"]["finished"] == 3
    running.run.journal.append("finished", "t0004", score=0.9, objectives={}, cost_s=4.0)
    with running.run.journal.path.open("a") as stream:
        stream.write('{"event": "finished", "tri')
    status = service.get(running).json()
    assert status["trials"] == {"finished": 4, "failed": 1, "running": 0, "open": 1}
    assert status["best"]["score"] == 0.9


def test_what_was_read_of_a_journal_is_not_read_again(tmp_path, tiny_library, monkeypatch):
    journal = Journal(tmp_path / "journal.jsonl")
    read, events_of = [], Journal.events_of
    monkeypatch.setattr(Journal, "events_of", lambda self, new, first: read.append(new) or events_of(self, new, first))
    progress = Progress()
    progress.read_on(journal)
    journal.append("suggested", "t0001", **Candidate(tiny_library.specs[0], Origin()).to_dict())
    for event in ("started", "reported"):
        journal.append(event, "t0001")
        progress.read_on(journal)
    progress.read_on(journal)
    assert [new.count(b"\n") for new in read] == [2, 1]
    journal.path.write_bytes(journal.path.read_bytes() + b"null\n")
    progress.read_on(journal)
    assert progress.damage.startswith("The journal is damaged: ")
    assert list(progress.records) == ["t0001"]
    journal.path.write_bytes(b"".join(read[:2]))  # mended
    progress.read_on(journal)
    assert (progress.damage, list(progress.records)) == (None, ["t0001"])
    journal.path.unlink()
    progress.read_on(journal)
    assert not progress.records


def test_nothing_trains_in_a_search_that_has_ended(service, running):
    service.post(running, "stop")
    wait_until(lambda: service.get(running).json()["state"] == "stopped")
    status = service.get(running).json()
    assert status["trials"] == {"finished": 3, "failed": 1, "running": 0, "open": 2}
    assert status["running_trials"] == []
    assert status["stage"] is None
    assert status["ended"] >= status["started"] >= status["created"]
    assert status["elapsed_s"] == pytest.approx(status["ended"] - status["started"])


def test_a_damaged_journal_is_told_and_does_no_harm(service, running):
    running.run.journal.path.write_text("nonsense\n{}\n")
    status = service.get(running).json()
    assert status["error"].startswith("The journal is damaged: line 1 is damaged")
    assert service.client.get("/api/searches").status_code == 200
    answer = service.get(running, "/report")
    assert answer.status_code == 409
    assert service.get(running, "/model").status_code == 409


def _files(answer):
    assert answer.status_code == 200, answer.text
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    return {name: archive.read(name) for name in archive.namelist()}


def test_the_best_model_so_far_is_downloaded(service, running):
    assert service.get(running).json()["has_model"]
    answer = service.get(running, "/model")
    assert answer.headers["content-disposition"] == f'attachment; filename="{running.id}.zip"'
    files = _files(answer)
    assert json.loads(files["config.json"]) == {"number": 3}
    assert files["model.safetensors"] == bytes(range(256)) * 5000


def test_of_a_finished_search_it_is_the_tested_one(service, running):
    service.post(running, "stop")
    wait_until(lambda: service.get(running).json()["state"] == "stopped")
    best = running.run.best_dir
    best.mkdir()
    (best / "evaluation.json").write_text("{}")
    assert "config.json" in _files(service.get(running, "/model"))
    running.end("finished")
    assert _files(service.get(running, "/model")) == {"evaluation.json": b"{}"}


def test_a_zip_is_made_in_pieces_and_without_links(tmp_path, monkeypatch):
    monkeypatch.setattr(zipped, "_CHUNK_BYTES", 1000)
    (tmp_path / "secret").write_text("secret")
    model = tmp_path / "model"
    (model / "deep").mkdir(parents=True)
    (model / "deep" / "weights").write_bytes(bytes(range(250)) * 40)
    (model / "link").symlink_to(tmp_path / "secret")
    pieces = list(zipped.zipped(model))
    assert len(pieces) == 11
    assert max(map(len, pieces)) < 1500
    archive = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert archive.namelist() == ["deep/weights"]
    assert archive.read("deep/weights") == bytes(range(250)) * 40


def test_the_report_is_that_of_now(service, running):
    answer = service.get(running, "/report")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "3 trials finished, 1 failed, 2 open" in answer.text
    assert str(service.root) not in answer.text
    running.run.journal.append("finished", "t0004", score=0.9, objectives={}, cost_s=4.0)
    assert "4 trials finished, 1 failed, 1 open" in service.get(running, "/report").text
    assert service.get(running).json()["scores"][-1] == {
        "trial": "t0004", "score": 0.9, "error": 0.0, "parameters": None, "latency_ms": None
    }  # fmt: skip


def test_the_page_uses_the_fields_there_are(service, running):
    """Every field of an answer that the scripts read is one of the API's document."""
    scripts = {name: service.client.get(name).text for name in OPEN_PATHS if name != "/"}
    page, everything = service.client.get("/").text, "".join(scripts.values())
    document = service.client.get("/api/openapi.json").json()
    schemas = document["components"]["schemas"]
    variables = {"search": "SearchStatus", "trial": "RunningTrial", "counts": "TrialCounts", "tested": "Tested"}
    for variable, schema in variables.items():
        read = set(re.findall(rf"\b{variable}\.(\w+)", scripts["/search.js"]))
        assert read
        assert read <= schemas[schema]["properties"].keys()
    [fields] = set(re.findall(r"forEach\(\(\{ ([^}]+) \}, number", scripts["/curve.js"]))
    assert set(fields.split(", ")) <= schemas["Scored"]["properties"].keys()
    assert set(re.findall(r"\breading\.(\w+)", scripts["/guide.js"])) <= schemas["TableReading"]["properties"].keys()
    asked = set(re.findall(r'byId\("([\w-]+)"\)', everything))
    assert asked <= set(re.findall(r'id="([\w-]+)"', page))
    form = set(re.findall(r' name="(\w+)"', page.partition('id="submit"')[2]))
    ((kind, body),) = document["paths"]["/api/searches"]["post"]["requestBody"]["content"].items()
    assert (kind, body["schema"]["$ref"]) == ("multipart/form-data", "#/components/schemas/Submission")
    assert form <= schemas["Submission"]["properties"].keys()


def test_page_and_script_are_packaged():
    root = Path(__file__).resolve().parents[3]
    declared = (root / "pyproject.toml").read_text()
    assert '"search.*"' in declared
    for name in ("page.html", "page.js", "guide.js", "curve.js"):
        assert f'"serve/*{Path(name).suffix}"' in declared
        assert (root / "search" / "serve" / name).is_file()


def test_the_documentation_has_every_call(service):
    text = (Path(__file__).resolve().parents[3] / "docs" / "service.md").read_text()
    described = service.client.get("/api/openapi.json").json()["paths"]
    calls = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    told = set(re.findall(r"(?m)^\| `((?:GET|POST) [^`]+)`", text))
    assert told == calls | {"GET /api/openapi.json"}
