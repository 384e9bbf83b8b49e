"""Prepared data: what was written comes back, and a folder is whole or not there."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import pytest
from rich.console import Console

from dataset import PreparedData, TableOptions, load_corpus
from dataset.corpora import packing
from dataset.prepare import DataOptions, _fingerprint
from dataset.prepared import _alone
from dataset.task import SPLITS
from design_space.options import validated


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
    assert [len(data.split(name)) for name in SPLITS] == [32, 4, 4]
    assert (data.label_names, data.metric, data.num_labels) == (("no", "yes"), "accuracy", 2)
    assert data.compute_metrics([[0.0, 1.0], [1.0, 0.0]], [1, 1]) == {"accuracy": 0.5}
    assert data.vocab_size == len(data.tokenizer) <= 300
    ids = data.split("train")[0]["input_ids"]
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


def test_sources_that_are_gone_are_named_and_not_missed(
    options: DataOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _prepare(options, tmp_path / "out")
    Path(options.task).unlink()
    data = options.prepare(tmp_path / "out", Console())
    assert len(data.split("train")) == 32
    assert f"{options.task}: no longer there. Going on with what was prepared from it" in capsys.readouterr().out
    with pytest.raises(ValueError, match="max_length: 16 there, 24 wanted"):
        _prepare(dataclasses.replace(options, max_length=24), tmp_path / "out")
    with pytest.raises(ValueError, match=Path(options.task).name):
        _prepare(options, tmp_path / "other")
    assert not (tmp_path / "other").exists()


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


def test_a_preparation_that_was_cut_goes_on_and_ends_in_the_same_blocks(
    options: DataOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "DOCUMENTS_PER_BATCH", 10)
    monkeypatch.setattr(packing, "TOKENS_PER_PART", 50)
    straight = _prepare(options, tmp_path / "straight")
    save, saved = hf_datasets.Dataset.save_to_disk, []

    def cut(rows: hf_datasets.Dataset, path: str) -> None:
        saved.append(Path(path).name)
        save(rows, path)
        if saved[-1] == "part-00003":
            raise KeyboardInterrupt

    monkeypatch.setattr(hf_datasets.Dataset, "save_to_disk", cut)
    with pytest.raises(KeyboardInterrupt):
        _prepare(options, tmp_path / "cut")
    del saved[:]
    monkeypatch.setattr("dataset.prepare.build_tokenizer", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(
        hf_datasets.Dataset, "save_to_disk", lambda rows, path: saved.append(Path(path).name) or save(rows, path)
    )
    resumed = _prepare(options, tmp_path / "cut")
    assert saved[0] == "part-00003"  # its state was not written
    assert resumed.pretrain["input_ids"][:] == straight.pretrain["input_ids"][:]
    assert resumed.pretrain_validation["input_ids"][:] == straight.pretrain_validation["input_ids"][:]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["cut", "straight"]
    assert not list(tmp_path.glob(".*"))


def test_what_a_cut_preparation_of_other_inputs_left_is_not_used(
    options: DataOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("dataset.prepared._describe", lambda *_, **__: _interrupt())
        with pytest.raises(KeyboardInterrupt):
            _prepare(options, tmp_path / "out")
    (tmp_path / "corpus.txt").write_text("another corpus of other words\n" * 60)
    data = _prepare(options, tmp_path / "out")
    assert "another corpus" in data.tokenizer.decode(data.pretrain[0]["input_ids"])


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_inputs_that_change_meanwhile_are_noticed(
    options: DataOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pack(*arguments: Any, **keywords: Any) -> hf_datasets.Dataset:
        (tmp_path / "corpus.txt").write_text("short")
        return packing.pack(*arguments, **keywords)

    monkeypatch.setattr("dataset.prepared.pack", pack)
    monkeypatch.setattr("dataset.prepared._HELD_OUT", 2)
    (tmp_path / "big.txt").write_text("a line of plain words\n" * 60)
    both = dataclasses.replace(options, corpus=(tmp_path / "corpus.txt", tmp_path / "big.txt"))
    with pytest.raises(ValueError, match="inputs changed while they were prepared"):
        _prepare(both, tmp_path / "out")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_folder_is_prepared_by_one_process_at_a_time(options: DataOptions, tmp_path: Path) -> None:
    with _alone(tmp_path / ".out.lock"), pytest.raises(ValueError, match="Another process is preparing"):
        _prepare(options, tmp_path / "out")


def test_blocks_are_full_and_hold_every_token_but_a_rest(
    options: DataOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "DOCUMENTS_PER_BATCH", 7)
    data = _prepare(dataclasses.replace(options, pretrain_length=32), tmp_path / "out")
    tokens = sum(
        len(data.tokenizer(row["text"], add_special_tokens=False)["input_ids"]) + 1
        for row in load_corpus(options.corpus)
    )
    blocks = [*data.pretrain["input_ids"], *data.pretrain_validation["input_ids"]]
    assert {len(block) for block in blocks} == {32}
    assert 0 <= tokens - 30 * len(blocks) < 30
    assert max(map(len, data.split("train")["input_ids"])) <= 16


def test_glue_is_prepared_as_a_folder_of_tasks(options: DataOptions, tmp_path: Path) -> None:
    rows = "".join(f"this is text {i}\tother {i}\t{'not_' if i % 2 else ''}entailment\n" for i in range(20))
    for folder in ("RTE", "STS-B"):
        (tmp_path / "glue" / folder).mkdir(parents=True)
        text = "sentence1\tsentence2\tlabel\n" + rows
        if folder == "STS-B":
            text = text.replace("label", "score").replace("not_entailment", "1.5").replace("entailment", "4")
        for split in ("train", "dev"):
            (tmp_path / "glue" / folder / f"{split}.tsv").write_text(text)
    (tmp_path / "glue" / "RTE" / "test.tsv").write_text("index\tsentence1\tsentence2\n0\ta\tb\n")
    _prepare(dataclasses.replace(options, task="glue", data_dir=tmp_path / "glue"), tmp_path / "out")
    data = PreparedData.load(tmp_path / "out")
    assert (data.name, data.metric, data.task_names) == ("glue", "glue", ("stsb", "rte"))
    assert [(task.name, task.metric, len(task.split("train"))) for task in data.tasks] == [
        ("stsb", "pearson_spearman", 20),
        ("rte", "accuracy", 20),
    ]
    rte = data.tasks[1]
    assert rte.unlabelled["test"].column_names == ["input_ids", "token_type_ids", "attention_mask"]
    assert rte.pretrain[0] == data.pretrain[0]
    assert rte.tokenizer.get_vocab() == data.tokenizer.get_vocab()
    with pytest.raises(ValueError, match="'glue' is several tasks"):
        data.split("train")
    with pytest.raises(ValueError, match="Task 'rte' has no split 'test'. Available: train, validation"):
        rte.split("test")


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "task.json").write_text('{"name": "x", "content": 1}')
    with pytest.raises(ValueError, match="was prepared by another version"):
        PreparedData.load(tmp_path)
    (tmp_path / "task.json").write_text('{"name": "x", ')
    with pytest.raises(ValueError, match=r"task\.json is damaged or cut off"):
        PreparedData.load(tmp_path)


def test_long_documents_are_tokenized_a_few_at_a_time_to_the_same_blocks(
    options: DataOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _prepare(options, tmp_path / "whole")
    monkeypatch.setattr(packing, "CHARACTERS_PER_BATCH", 120)
    monkeypatch.setattr(packing, "TOKENS_PER_PART", 50)
    sizes = [len(texts) for texts in packing._batches(load_corpus(options.corpus))]
    assert max(sizes) <= 3  # lines of more than 40 characters
    assert sum(sizes) == 60
    parts = _prepare(options, tmp_path / "parts")
    assert parts.pretrain["input_ids"][:] == whole.pretrain["input_ids"][:]


def test_ids_beyond_the_number_of_tokens_have_rows(options: DataOptions, tmp_path: Path) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789,"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *letters, *(f"##{letter}" for letter in letters), "the", "the", "film"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    data = _prepare(dataclasses.replace(options, tokenizer=str(tmp_path / "vocab.txt")), tmp_path / "out")
    assert data.vocab_size == len(words)
    assert max(map(max, data.split("train")["input_ids"])) == len(words) - 1


def test_texts_that_are_cut_are_said_with_their_share(
    options: DataOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"{'a b ' * (10 if i % 4 == 0 else 2)}{i % 2},{'yes' if i % 2 else 'no'}" for i in range(40)]
    Path(options.task).write_text("\n".join(["review,verdict", *rows]))
    _prepare(dataclasses.replace(options, max_length=23), tmp_path / "longer")
    assert "--max_length" not in caplog.text
    _prepare(options, tmp_path / "out")
    assert "mine: 10 of 40 texts (25%) are longer than --max_length 16 tokens and cut there; the longest has 23" in (
        caplog.text
    )


def test_texts_of_training_that_come_again_are_said(
    options: DataOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train, test = Path(options.task), tmp_path / "test.csv"
    train.write_text("\n".join(["review,verdict", *(f"film {i},{'yes' if i % 2 else 'no'}" for i in range(40))]))
    test.write_text("review,verdict\nfilm 3,yes\nfilm 4,no\nfilm 41,yes\n")
    data = _prepare(dataclasses.replace(options, table=TableOptions(test_file=test)), tmp_path / "out")
    assert [data.also_in_training(split) for split in ("validation", "test")] == [0, 2]
    assert "mine: 2 of the 3 texts of test (66.7%) are in training too" in caplog.text
    assert "of validation" not in caplog.text


def test_a_tokenizer_is_told_by_its_content_wherever_it_lies(options: DataOptions, tmp_path: Path) -> None:
    here, there = tmp_path / "vocab.txt", tmp_path / "other" / "vocab.txt"
    there.parent.mkdir()
    here.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "good", "bad", "film"]))
    shutil.copy(here, there)
    data = _prepare(dataclasses.replace(options, tokenizer=str(here)), tmp_path / "out")
    again = _prepare(dataclasses.replace(options, tokenizer=str(there)), tmp_path / "out")
    assert again.made_from == data.made_from
    here.unlink()
    assert _prepare(dataclasses.replace(options, tokenizer=str(here)), tmp_path / "out").vocab_size == 9
    there.write_text(f"{there.read_text()}\nbook")
    with pytest.raises(ValueError, match="was prepared from something else .*tokenizer_content"):
        _prepare(dataclasses.replace(options, tokenizer=str(there)), tmp_path / "out")


def test_data_that_knew_a_tokenizer_by_its_place_are_used_again(options: DataOptions, tmp_path: Path) -> None:
    vocabulary, file = tmp_path / "vocab.txt", tmp_path / "out" / "task.json"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "good", "bad", "film"]))
    named = dataclasses.replace(options, tokenizer=str(vocabulary))
    _prepare(named, tmp_path / "out")
    written = json.loads(file.read_text())
    del written["made_from"]["tokenizer_content"]
    written["made_from"]["files"] = _fingerprint(named._sources())
    file.write_text(json.dumps(written))
    assert _prepare(named, tmp_path / "out").vocab_size == 9


@pytest.mark.parametrize("name", ["task", "tokenizer"])
def test_an_empty_name_is_not_the_working_folder(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' must not be empty. Got ''"):
        validated(DataOptions, {name: ""})
