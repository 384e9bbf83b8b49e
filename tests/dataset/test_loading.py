"""Data prepared from a relative path are the same as from its absolute one."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from dataset.prepare import DataOptions, prepare_data


def test_a_folder_prepared_from_a_relative_path_is_taken_by_it_and_by_the_absolute_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"the {'good' if i % 2 else 'bad'} film number {i},{'yes' if i % 2 else 'no'}" for i in range(40)]
    Path("mine.csv").write_text("\n".join(["review,verdict", *rows]))
    Path("corpus.txt").write_text("\n".join(f"a line of plain words about films, number {i}" for i in range(60)))
    flags = ["--vocab_size", "300", "--max_length", "16", "--corpus", "corpus.txt", "--output_dir", "out"]
    prepare_data(["--task", "mine.csv", *flags])
    written = json.loads(Path("out/task.json").read_text())
    assert written["made_from"]["task"] == str(tmp_path / "mine.csv")
    absolute = DataOptions(task=str(tmp_path / "mine.csv"), corpus=(Path("corpus.txt"),), vocab_size=300, max_length=16)
    assert absolute.prepare(tmp_path / "out", Console(quiet=True)).name == "mine"
    written["made_from"]["task"] = "mine.csv"  # as older versions wrote it
    Path("out/task.json").write_text(json.dumps(written))
    assert absolute.prepare(tmp_path / "out", Console(quiet=True)).name == "mine"
    prepare_data(["--task", "mine.csv", *flags])
    with pytest.raises(ValueError, match="was prepared from something else"):
        prepare_data(["--task", "other.csv", *flags])


def test_weights_of_the_corpus_are_finite_numbers() -> None:
    for weight in ("inf", "nan", "0", "much"):
        with pytest.raises(ValueError, match=f"'corpus_weights' must be a finite number above 0. Got '{weight}'"):
            prepare_data(["--corpus_weights", weight])
