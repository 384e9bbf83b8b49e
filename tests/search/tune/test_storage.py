"""Folders that travel through a storage, and a search whose nodes see nothing of the driver's folders."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from search.records.journal import Journal
from search.runs.level import saved
from search.runs.options import search_options
from search.tune.options import without_password
from search.tune.storage import Storage
from tests.patience import HANG_S
from tests.search.tune.clusters import head_node

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(params=["memory", "file"])
def storage(request, tmp_path):
    return Storage(f"memory://{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}/away")


def _folder(path, **files):
    for name, text in files.items():
        file = path / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


def _content(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_comes_back_as_it_was(storage, tmp_path):
    storage.push(_folder(tmp_path / "here", a="1", deep__er__b="2", deep___hidden="3"), "models/x")
    assert storage.fetch("models/x", tmp_path / "there")
    assert _content(tmp_path / "there") == {"a": "1", "deep/er/b": "2", "deep/_hidden": "3"}


def test_what_is_pushed_again_replaces_what_was_there(storage, tmp_path):
    storage.push(_folder(tmp_path / "old", a="1", b="2"), "x")
    storage.push(_folder(tmp_path / "new", a="3"), "x")
    _folder(tmp_path / "there", stale="4")
    assert storage.fetch("x", tmp_path / "there")
    assert _content(tmp_path / "there") == {"a": "3"}


def test_a_folder_without_its_mark_is_not_there(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(Storage, "_write_mark", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        storage.push(_folder(tmp_path / "here", a="1"), "work/t1/0000")
    assert not storage.has("work/t1/0000")
    assert storage.names("work/t1") == []
    assert not storage.fetch("work/t1/0000", tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_names_are_sorted_and_go_when_removed(storage, tmp_path):
    folder = _folder(tmp_path / "here", a="1")
    for name in ("0002", "0000", "0001"):
        storage.push(folder, f"work/{name}")
    storage.remove("work/0001")
    assert storage.names("work") == ["0000", "0002"]
    assert storage.names("nothing") == []


def test_an_unknown_protocol_is_refused_with_its_name():
    with pytest.raises(ValueError, match=r"fsspec can open. Got 'gopher://x': Protocol not known: gopher"):
        Storage("gopher://x")


def test_a_storage_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ValueError, match=r"'storage' must be writable. At .*file: "):
        Storage.of_run(str(tmp_path / "file"), tmp_path / "models")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sftp://bob:p%40ss@nas:22/x", "sftp://bob:***@nas:22/x"),
        ("simplecache::ftp://bob:a@b@nas/x", "simplecache::ftp://bob:***@nas/x"),
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("http://nas:8080/x", "http://nas:8080/x"),
        ("/nas/bob@home", "/nas/bob@home"),
    ],
)
def test_a_password_is_not_shown(uri, shown):
    assert without_password(uri) == shown
    assert without_password(f"cannot open {uri}: no", uri) == f"cannot open {shown}: no"


def test_a_password_is_nowhere_in_another_form_either():
    assert without_password("user bob, password p@ss", "sftp://bob:p%40ss@nas") == "user bob, password ***"


@pytest.mark.parametrize("uri", ["gopher://bob:secret@x", "sftp://bob:sec/ret@nas:1/x"])
def test_a_refusal_does_not_tell_the_password(uri):
    with pytest.raises(ValueError, match="'storage' must be") as refusal:
        Storage(uri)
    assert "secret" not in str(refusal.value)
    assert "sec/ret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_password_is_not_written_down_and_asked_for_again():
    given = {"dataset_file": "library.json", "storage": "sftp://bob:secret@nas/x"}
    kept = saved(search_options(("", given)))
    assert kept["storage"] == "sftp://bob:***@nas/x"
    with pytest.raises(ValueError, match="'storage' in the saved run was given with a password, which is not kept"):
        search_options(("the saved run", kept))
    assert search_options(("the saved run", kept), ("", given)).cluster.storage == given["storage"]


def test_runs_have_folders_of_their_own_and_levels_share_one(tmp_path):
    uri = str(tmp_path / "away")
    first, again = (Storage.of_run(uri, tmp_path / "models") for _ in range(2))
    other = Storage.of_run(uri, tmp_path / "other" / "models")
    assert first.uri == again.uri != other.uri


@pytest.mark.integration
def test_a_search_needs_no_folder_that_its_nodes_share(tmp_path, tiny_library, monkeypatch):
    hidden, away = tmp_path / "driver", tmp_path / "away"
    hidden.mkdir()
    trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", str(hidden)]
    if shutil.which("unshare") is None or subprocess.run(trial, capture_output=True).returncode:
        pytest.skip("needs the right to make a mount namespace, to hide the driver's folder from a node")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    tiny_library.save(hidden / "library.json")
    rows = [f"a {'fine' if i % 2 else 'dull'} story number {i},{'good' if i % 2 else 'bad'}" for i in range(160)]
    (hidden / "films.csv").write_text("\n".join(["review,verdict", *rows]))
    flags = ["--dataset_file", str(hidden / "library.json"), "--run_dir", str(hidden / "run"), "--storage", str(away)]
    flags += ["--task", str(hidden / "films.csv"), "--pretrain_steps", "0", "--epochs", "2", "--vocab_size", "300"]
    flags += [
        "--max_length",
        "16",
        "--num_init",
        "2",
        "--min_overlap",
        "0.3",
        "--max_trials",
        "4",
        "--keep_models",
        "3",
    ]
    with head_node(os.environ) as address:
        start = [shutil.which("ray", path=str(Path(sys.executable).parent)), "start", "--block", "--num-cpus", "1"]
        hide = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{hidden}" && exec "$@"', "sh"]
        node = subprocess.Popen(
            [*hide, *map(str, start), "--address", address],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            command = [sys.executable, "-m", "search.run_boshnas", *flags, "--address", address]
            run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
            assert run.returncode == 0, run.stdout + run.stderr
        finally:
            os.killpg(node.pid, 15)
            node.wait(timeout=HANG_S)
    trials = Journal(hidden / "run" / "journal.jsonl").trials().values()
    assert [record.state for record in trials] == ["finished"] * 4
    assert any(record.candidate.origin.parents for record in trials)
    (of_run,) = away.iterdir()
    assert len(list((of_run / "models").iterdir())) == 3  # the best three
    assert not (of_run / "work").exists() or not list((of_run / "work").iterdir())
    assert (hidden / "run" / "best" / "config.json").exists()
