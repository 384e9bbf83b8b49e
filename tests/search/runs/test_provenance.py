"""Scores and models of one task are never taken for another's: what differs is told before anything is trained."""

import json
from pathlib import Path

import pytest

import search.runs.level
from dataset import PreparedData
from dataset.provenance import data_identity
from design_space.command import run_command
from embeddings import GraphLibrary
from search.candidate import RESULT_FILE, Candidate, Origin
from search.records.journal import TrialRecord
from search.run_boshnas import run_boshnas
from search.runs.provenance import TRAINED_FOR_FILE

TINY = "--pretrain_steps 2 --epochs 1 --vocab_size 300 --max_length 16 --num_init 2 --surrogate gp".split()


class _Started(Exception):
    """The search was let through to its training."""


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    def start(run, console):
        raise _Started

    monkeypatch.setattr(search.runs.level, "run_level", start)


def _flags(folder: Path, library: GraphLibrary, run: str, labels=("pos", "neg"), name="train.csv") -> list[str]:
    """A run of its own, with a library and a table of its own, and a folder of models that all share."""
    own = folder / run
    own.mkdir()
    library.save(own / "library.json")
    rows = [f"a {'fine' if i % 2 else 'dull'} story number {i},{labels[i % 2]}" for i in range(60)]
    (own / name).write_text("\n".join(["review,verdict", *rows]))
    (own / "corpus.txt").write_text("\n".join(f"a story about people and films, number {i}" for i in range(200)))
    table = ["--task", str(own / name), "--corpus", str(own / "corpus.txt")]
    places = ["--dataset_file", str(own / "library.json"), "--run_dir", str(own / "run")]
    return [*places, *table, *TINY, "--models_dir", str(folder / "models")]


def _start(*flags: str) -> None:
    with pytest.raises(_Started):
        run_boshnas(flags)


def _error(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    with pytest.raises(SystemExit) as stop:
        run_command(run_boshnas, flags)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_models_of_another_task_recipe_or_metric_are_refused(tmp_path, tiny_library, capsys):
    _start(*_flags(tmp_path, tiny_library, "a"))
    content = json.loads((tmp_path / "models" / TRAINED_FOR_FILE).read_text())
    assert (content["task"], content["metric"], content["recipe"]["epochs"]) == ("train", "accuracy", 1)
    data = PreparedData.load(tmp_path / "a" / "run" / "data")
    assert data_identity(data).items() <= content.items()
    _start(*_flags(tmp_path, tiny_library, "empty"), "--epochs", "3")  # nothing was trained yet
    _start(*_flags(tmp_path, tiny_library, "again"))
    (tmp_path / "models" / "trained").mkdir()
    (tmp_path / "models" / "trained" / RESULT_FILE).write_text("{}")
    error = _error(capsys, *_flags(tmp_path, tiny_library, "b", ("long", "short")))
    assert f"The models in {tmp_path / 'models'} were trained for something else: other labels, rows" in error
    assert "Give each task and recipe a --models_dir of its own" in error
    error = _error(capsys, *_flags(tmp_path, tiny_library, "c", name="other.csv"))
    assert "something else: task 'train' there, 'other' here. Give" in error
    error = _error(capsys, *_flags(tmp_path, tiny_library, "d"), "--metric", "f1_macro", "--epochs", "3")
    assert "metric 'accuracy' there, 'f1_macro' here; recipe: epochs 1 there, 3 here. Give" in error
    assert json.loads((tmp_path / "models" / TRAINED_FOR_FILE).read_text()) == content
    _start(*_flags(tmp_path, tiny_library, "e"))  # the same task, on its next level or again
    assert not (tmp_path / "b" / "run" / "config.yaml").exists()


def test_a_run_goes_on_with_its_own_models_and_older_folders_are_taken_over(tmp_path, tiny_library, capsys):
    flags = _flags(tmp_path, tiny_library, "a")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "something").mkdir()
    (tmp_path / "models" / "something" / RESULT_FILE).write_text("{}")
    _start(*flags)
    _start("--run_dir", str(tmp_path / "a" / "run"), "--resume", "--max_trials", "9")
    _start("--run_dir", str(tmp_path / "a" / "run"), "--resume", "--learning_rate", "0.01")  # a run may change these
    file = tmp_path / "models" / TRAINED_FOR_FILE
    content = json.loads(file.read_text())
    assert content["recipe"]["learning_rate"] == 0.01
    del content["recipe"]["adam_beta2"]  # as of a version without it
    file.write_text(json.dumps(content))
    _start("--run_dir", str(tmp_path / "a" / "run"), "--resume")
    assert json.loads(file.read_text())["recipe"]["adam_beta2"] == 0.999
    file.write_text(json.dumps(content | {"metric": "f1_macro"}))
    error = _error(capsys, "--run_dir", str(tmp_path / "a" / "run"), "--resume", "--learning_rate", "0.02")
    assert "metric 'f1_macro' there, 'accuracy' here. Give" in error
    file.write_text(json.dumps(content))
    _start("--run_dir", str(tmp_path / "a" / "run"), "--resume")  # the refused flag was not saved
    assert json.loads(file.read_text())["recipe"]["learning_rate"] == 0.01
    file.write_text("{")
    assert "trained_for.json is damaged" in _error(capsys, "--run_dir", str(tmp_path / "a" / "run"), "--resume")


def test_scores_of_another_task_of_the_same_name_are_kept_apart(tmp_path, tiny_library, capsys, monkeypatch):
    names = []

    def start(run, console):
        names.append(run.scored_as)
        raise _Started

    monkeypatch.setattr(search.runs.level, "run_level", start)
    _start(*_flags(tmp_path, tiny_library, "a"))
    library, data = tmp_path / "a" / "library.json", PreparedData.load(tmp_path / "a" / "run" / "data")
    measured = {"metric": "accuracy", **data_identity(data)}
    GraphLibrary.record(library, {tiny_library.hashes[0]: 0.5}, task="train", measured_on=measured)
    _start("--run_dir", str(tmp_path / "a" / "run"), "--resume")
    capsys.readouterr()
    second = [*_flags(tmp_path, tiny_library, "b", ("long", "short")), "--models_dir", str(tmp_path / "others")]
    _start(*second, "--dataset_file", str(library))
    told = f"{library} holds scores of another task 'train' (different labels, rows"
    assert told in (out := capsys.readouterr().out)
    assert "those of this search are called 'train-2' there" in out
    third = [*_flags(tmp_path, tiny_library, "c"), "--models_dir", str(tmp_path / "others"), "--metric", "f1_macro"]
    _start(*third, "--dataset_file", str(library))
    assert "another task 'train' (different metric)" in capsys.readouterr().out
    _start("--run_dir", str(tmp_path / "c" / "run"), "--resume")
    assert names == ["train", "train", "train-2", "train-2", "train-2"]


def test_scores_of_a_run_stand_beside_others_that_came_meanwhile(tmp_path, tiny_library, monkeypatch):
    flags = _flags(tmp_path, tiny_library, "a")
    library, done = tmp_path / "a" / "library.json", []
    other = {"metric": "accuracy", "rows": "others"}

    def trained(run, console):  # and meanwhile another run ends
        GraphLibrary.record(library, {tiny_library.hashes[0]: 0.5}, task="train", measured_on=other)
        return [TrialRecord("t0001", Candidate(tiny_library.specs[0], Origin()), "finished", 0.9)]

    evaluation = {"trial": "t0001", "metrics": {"accuracy": 0.9}, "split": "test"}
    monkeypatch.setattr(search.runs.level, "run_level", trained)
    monkeypatch.setattr(search.runs.level, "keep_best", lambda *_, **__: done.append("best") or evaluation)
    monkeypatch.setattr(search.runs.level, "write_summary", lambda *_: done.append("summary"))
    monkeypatch.setattr(search.runs.level, "compare_best", lambda *_: "beside")
    monkeypatch.setattr(search.runs.level, "add_to_summary", lambda _, text: done.append(text))
    monkeypatch.setattr(search.runs.level, "write_report", lambda _: done.append("report"))
    run_boshnas(flags)
    assert done == ["best", "summary", "beside", "report"]
    first = tiny_library.hashes[0]
    assert GraphLibrary.load(library).performances == {first: {"train": 0.5, "train-2": 0.9}}
