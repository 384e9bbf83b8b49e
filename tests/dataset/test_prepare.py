"""Prepared data: what was written comes back, and a folder is whole or not there."""

from pathlib import Path

import datasets as hf_datasets
import pytest
from rich.console import Console

from dataset import PreparedData, load_corpus
from dataset.prepare import DataOptions


@pytest.fixture
def options(tmp_path: Path) -> DataOptions:
    table, text = tmp_path / "mine.csv", tmp_path / "corpus.txt"
    rows = [f"the {'good' if i % 2 else 'bad'} film number {i},{'yes' if i % 2 else 'no'}" for i in range(40)]
    table.write_text("\n".join(["review,verdict", *rows]))
    text.write_text("\n".join(f"a line of plain words about films, number {i}" for i in range(60)))
    return DataOptions(task=str(table), corpus=(text,), vocab_size=300, max_length=16)


def _prepare(options: DataOptions, folder: Path) -> PreparedData:
    return options.prepare(folder, Console(quiet=True))


def test_what_was_prepared_comes_back_from_the_folder_alone(options: DataOptions, tmp_path: Path) -> None:
    _prepare(options, tmp_path / "out")
    data = PreparedData.load(tmp_path / "out")
    assert (len(data.train), len(data.validation), len(data.test)) == (32, 4, 4)
    assert (data.label_names, data.metric, data.num_labels) == (("no", "yes"), "accuracy", 2)
    assert data.compute_metrics([[0.0, 1.0], [1.0, 0.0]], [1, 1]) == {"accuracy": 0.5}
    assert data.vocab_size == len(data.tokenizer) <= 300
    ids = data.train[0]["input_ids"]
    assert (ids[0], ids[-1]) == (data.tokenizer.cls_token_id, data.tokenizer.sep_token_id)
    assert "film number" in data.tokenizer.decode(ids)


def test_blocks_for_pretraining_are_full(options: DataOptions, tmp_path: Path) -> None:
    data = _prepare(options, tmp_path / "out")
    assert {len(block) for split in (data.pretrain, data.pretrain_validation) for block in split["input_ids"]} == {16}


def test_the_same_call_uses_the_folder_and_another_is_refused(options: DataOptions, tmp_path: Path) -> None:
    _prepare(options, tmp_path / "out")
    written = (tmp_path / "out" / "task.json").stat().st_mtime_ns
    _prepare(options, tmp_path / "out")
    assert (tmp_path / "out" / "task.json").stat().st_mtime_ns == written
    other = DataOptions(task=options.task, corpus=options.corpus, vocab_size=300, max_length=24)
    with pytest.raises(ValueError, match=r"was prepared from something else .*max_length: 16 there, 24 wanted"):
        _prepare(other, tmp_path / "out")


def test_an_interruption_leaves_no_folder(
    options: DataOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(hf_datasets.Dataset, "save_to_disk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _prepare(options, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no prepared data"):
        PreparedData.load(tmp_path)


def test_a_corpus_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n\n")
    with pytest.raises(ValueError, match=r"No such file or folder of the corpus: .*none\.txt"):
        load_corpus([tmp_path / "none.txt"])
    with pytest.raises(ValueError, match=r"No text in the corpus: .*empty.txt"):
        load_corpus([tmp_path / "empty.txt"])
