"""A library knows what its scores were measured on."""

import dataclasses
import json

import pytest
import yaml

from embeddings import GraphLibrary
from embeddings.generate_library import generate_library

HERE = {"metric": "accuracy", "rows": "ab", "vocabulary": "cd"}


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_scores_of_something_else_have_a_name_of_their_own(tiny_library, tmp_path, suffix):
    path, (a, b) = tmp_path / f"library{suffix}", tiny_library.hashes[:2]
    tiny_library.save(path)
    GraphLibrary.record(path, {a: 0.5}, task="train", measured_on=HERE)
    assert GraphLibrary.load(path).measured_on == {"train": HERE}
    other, third = HERE | {"metric": "f1", "rows": "xy"}, HERE | {"rows": "z"}
    GraphLibrary.record(path, {b: 0.1}, task="train", measured_on=other)
    GraphLibrary.record(path, {b: 0.3}, task="train", measured_on=third)
    GraphLibrary.record(path, {a: 0.4}, task="train", measured_on=other)
    GraphLibrary.record(path, {b: 0.7}, task="train", measured_on=HERE)
    GraphLibrary.record(path, {b: 0.2}, task="cola", measured_on=HERE | {"metric": "f1"})
    loaded = GraphLibrary.load(path)
    assert loaded.performances == {
        a: {"train": 0.5, "train-2": 0.4},
        b: {"train": 0.7, "train-2": 0.1, "train-3": 0.3, "cola": 0.2},
    }
    assert loaded.measured_on == {"train": HERE, "train-2": other, "train-3": third, "cola": HERE | {"metric": "f1"}}
    loaded.save(path)
    assert GraphLibrary.load(path).measured_on == loaded.measured_on


def test_older_libraries_load_and_take_any_score_and_files_without_scores_have_no_new_key(tiny_library, tmp_path):
    path, (a, b) = tmp_path / "library.json", tiny_library.hashes[:2]
    dataclasses.replace(tiny_library, performances={a: {"cola": 0.5}}).save(path)
    assert "measured_on" not in json.loads(path.read_text())
    GraphLibrary.record(path, {b: 0.6}, task="cola")
    assert GraphLibrary.load(path).measured_on == {}
    GraphLibrary.record(path, {b: 0.7}, task="cola", measured_on=HERE)
    assert GraphLibrary.load(path).performances == {a: {"cola": 0.5}, b: {"cola": 0.7}}
    assert GraphLibrary.load(path).measured_on == {"cola": HERE}


def test_what_has_no_scores_yet_may_change(tiny_library, tmp_path):
    path = tmp_path / "library.json"
    dataclasses.replace(tiny_library, measured_on={"train": HERE}).save(path)
    GraphLibrary.record(path, {tiny_library.hashes[0]: 0.5}, task="train", measured_on=HERE | {"rows": "xy"})
    assert GraphLibrary.load(path).measured_on == {"train": HERE | {"rows": "xy"}}


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_a_library_built_over_another_keeps_its_scores(tiny_library, tmp_path, suffix):
    path, (a, b) = tmp_path / f"library{suffix}", tiny_library.hashes[:2]
    assert tiny_library.save_over(path) == 0
    GraphLibrary.record(path, {a: 0.5, "elsewhere": 0.1}, task="train", measured_on=HERE)
    assert tiny_library.save_over(path) == 2
    assert GraphLibrary.load(path).performances == {a: {"train": 0.5}, "elsewhere": {"train": 0.1}}
    assert GraphLibrary.load(path).measured_on == {"train": HERE}
    scored = dataclasses.replace(tiny_library, performances={b: {"train": 0.7}}, measured_on={"train": HERE})
    scored.save_over(path)
    assert GraphLibrary.load(path).performances[b] == {"train": 0.7}
    dataclasses.replace(scored, measured_on={"train": HERE | {"rows": "xy"}}).save_over(path)
    assert GraphLibrary.load(path).performances[b] == {"train": 0.7, "train-2": 0.7}


def test_what_cannot_be_read_is_replaced_and_said(tiny_library, tmp_path, caplog):
    path = tmp_path / "library.json"
    path.write_text("{")
    tiny_library.save_over(path)
    assert "What was there could not be read, and is replaced" in caplog.text
    assert GraphLibrary.load(path).hashes == tiny_library.hashes


def test_the_command_keeps_scores_and_draws_what_is_there(tiny_space, tmp_path, capsys):
    space, path = tmp_path / "space.yaml", tmp_path / "library.json"
    space.write_text(yaml.safe_dump(tiny_space.to_dict()))
    flags = ["--design_space", str(space), "--dataset_file", str(path), "--max_graphs", "12", "--n_jobs", "1"]
    generate_library(flags)
    member = GraphLibrary.load(path).hashes[0]
    GraphLibrary.record(path, {member: 0.5}, task="train")
    generate_library([*flags, "--seed", "1"])
    assert "the scores of 1 architectures that were there are kept" in capsys.readouterr().out
    before = path.stat().st_mtime_ns
    generate_library([*flags, "--plot", str(tmp_path / "a.svg")])
    assert "is there, built so: drawn as it is" in capsys.readouterr().out
    assert (tmp_path / "a.svg").exists()
    assert path.stat().st_mtime_ns == before
    generate_library([*flags, "--algo", "GD", "--plot", str(tmp_path / "b.svg")])
    assert GraphLibrary.load(path).algo == "GD"
    assert GraphLibrary.load(path).performances == {member: {"train": 0.5}}
