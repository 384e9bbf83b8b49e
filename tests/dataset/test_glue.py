"""GLUE from its TSV files: official counts and clear refusals."""

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import pytest

from dataset import hub, load_task
from dataset.glue import NINE, load_glue_tasks
from dataset.submission import write_submission

COUNTS = {
    "cola": ("CoLA", 8551, 1043),
    "sst2": ("SST-2", 10_000, 872),
    "mrpc": ("MRPC", 3668, 408),
    "rte": ("RTE", 2490, 277),
    "stsb": ("STS-B", 5749, 1500),
    "wnli": ("WNLI", 635, 71),
    "qnli": ("QNLI", 8999, 5463),
    "mnli": ("MNLI", 8999, 1000),
    "qqp": ("QQP", 8999, 1000),
}


@pytest.mark.parametrize("name", NINE)
def test_row_counts_are_the_published_ones(name: str, shared_data: Path) -> None:
    folder, num_train, num_validation = COUNTS[name]
    task = load_task(name, data_dir=shared_data / "glue" / folder)
    assert (len(task.train), len(task.validation), task.test) == (num_train, num_validation, None)


PUBLISHED_LABELS = {  # by class number, of train and validation, where the whole official file is at hand
    "cola": ((2528, 6023), (322, 721)),
    "mrpc": ((1194, 2474), (129, 279)),
    "rte": ((1249, 1241), (146, 131)),
    "wnli": ((323, 312), (40, 31)),
    "sst2": (None, (428, 444)),
    "qnli": (None, (2702, 2761)),
}


@pytest.mark.parametrize("name", PUBLISHED_LABELS)
def test_label_distributions_are_the_published_ones(name: str, shared_data: Path) -> None:
    task = load_task(name, data_dir=shared_data / "glue" / COUNTS[name][0])
    for split, published in zip((task.train, task.validation), PUBLISHED_LABELS[name], strict=True):
        counts = Counter(split["label"][:])
        assert published is None or (counts[0], counts[1]) == published


def test_all_of_sst2_has_the_published_size(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "glue" / "SST-2"
    (tmp_path / "train.tsv").write_bytes(gzip.decompress((source / "train_full.tsv.gz").read_bytes()))
    (tmp_path / "dev.tsv").write_bytes((source / "dev.tsv").read_bytes())
    assert len(load_task("sst-2", data_dir=tmp_path).train) == 67_349


def test_first_rows_are_as_in_the_files(shared_data: Path) -> None:
    cola = load_task("cola", data_dir=shared_data / "glue" / "CoLA").train[0]
    assert cola == {"text": "Our friends won't buy this analysis, let alone the next one we propose.", "label": 1}
    mrpc = load_task("mrpc", data_dir=shared_data / "glue" / "MRPC").validation[0]
    assert mrpc["text_pair"].startswith('" The foodservice pie business does not fit')
    stsb = load_task("stsb", data_dir=shared_data / "glue" / "STS-B")
    assert (stsb.train[0]["label"], stsb.is_regression, stsb.metric) == (5.0, True, "pearson_spearman")


def _write(folder: Path, text: str) -> Path:
    for file in ("train.tsv", "dev.tsv"):
        (folder / file).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence\tmark\ngood\t1\n", "train.tsv has no column 'label'. Its columns: sentence, mark"),
        ("sentence\tlabel\ngood\t1\nbad\n", "train.tsv, line 3: 1 fields, but 2 columns"),
        ("sentence\tlabel\ngood\t7\n", "line 2: the label must be one of 0, 1. Got '7'"),
    ],
    ids=["column", "field", "label"],
)
def test_damaged_files_are_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_task("sst2", data_dir=_write(tmp_path, text))


def test_a_byte_order_mark_and_quotes_are_no_part_of_the_layout(tmp_path: Path) -> None:
    task = load_task("sst2", data_dir=_write(tmp_path, '\ufefflabel\tsentence\n1\t"good\n0\tnot " good\n\n'))
    assert task.train["text"][:] == ['"good', 'not " good']
    assert task.train["label"][:] == [1, 0]


def test_an_unreachable_hub_is_said_at_once_and_suggests_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    asked = []
    monkeypatch.setattr(hub.hf_datasets, "load_dataset", lambda *_, **__: asked.append(1) or _fail())
    with pytest.raises(ValueError, match=r"Hub \(http://127.0.0.1:9 cannot be reached.*--data_dir"):
        load_task("cola")
    assert asked == [1]
    assert not hub.constants.HF_HUB_OFFLINE


def _fail() -> None:
    raise ConnectionError("offline")


def test_what_the_hub_gives_is_the_same_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(labels: list[int]) -> Any:
        table = {"premise": ["a"] * len(labels), "hypothesis": ["b"] * len(labels), "label": labels}
        return hf_datasets.Dataset.from_dict(table | {"idx": list(range(len(labels)))})

    loaded = {"train": rows([0, 1, 2]), "validation_matched": rows([0]), "validation_mismatched": rows([1, 2])}
    monkeypatch.setattr("dataset.glue.load_from_hub", lambda *_: loaded | {"test_mismatched": rows([-1, -1])})
    task = load_task("mnli-mm")
    assert task.validation[0] == {"text": "a", "text_pair": "b", "label": 1}
    assert (task.test, len(task.unlabelled["test"])) == (None, 2)


def test_test_rows_without_labels_get_a_file_for_the_board(tmp_path: Path) -> None:
    header, rows = "index\tsentence1\tsentence2\tlabel", "0\ta\tb\tentailment\n1\tc\td\tnot_entailment"
    folder = _write(tmp_path, f"{header}\n{rows}\n")
    (folder / "test.tsv").write_text('index\tsentence1\tsentence2\n0\t"e\tf\n1\tg\th\n')
    task = load_task("rte", data_dir=folder)
    assert task.unlabelled["test"]["text"][:] == ['"e', "g"]
    path = write_submission(task, [[0.0, 1.0], [2.0, 1.0]], tmp_path / "out")
    assert (path.name, path.read_text()) == ("RTE.tsv", "index\tprediction\n0\tnot_entailment\n1\tentailment\n")
    with pytest.raises(ValueError, match=r"must have shape \(N, 2\). Got \(1, 3\)"):
        write_submission(task, [[0, 1, 2]], tmp_path)


def test_a_test_file_with_labels_is_a_test_split_and_numbers_stay_in_their_range(tmp_path: Path) -> None:
    folder = _write(tmp_path, "sentence1\tsentence2\tscore\na\tb\t2.5\nc\td\t1.0\n")
    (folder / "test.tsv").write_text("sentence1\tsentence2\tscore\na\tb\t4.0\nc\td\t0.5\n")
    task = load_task("sts-b", data_dir=folder)
    assert (task.test["label"][:], dict(task.unlabelled)) == ([4.0, 0.5], {})
    path = write_submission(task, [[5.3], [1.23456]], tmp_path)
    assert path.read_text().splitlines()[1:] == ["0\t5.000", "1\t1.235"]


def test_damaged_rows_of_qqp_are_left_out_as_in_the_official_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t1\t2\ta\tb\t0\n2\t1\t2\tcut\n3\t1\t2\tc\td\t1\n"
    assert len(load_task("qqp", data_dir=_write(tmp_path, text)).train) == 2
    assert "1 damaged rows left out, the first in line 3" in caplog.text


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    _write(tmp_path, "sentence\tlabel\ngood\t1\nbad\t0\n")
    (tmp_path / "dev.tsv").write_bytes(b"sentence\tlabel\ngood\t1\nna\xefve\t0\n")
    with pytest.raises(ValueError, match=r"dev.tsv, line 3 is not UTF-8 text"):
        load_task("sst2", data_dir=tmp_path)


def test_glue_is_the_tasks_that_have_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("SST-2", "wnli"):
        (tmp_path / name).mkdir()
        _write(tmp_path / name, "sentence\tsentence1\tsentence2\tlabel\na\ta\tb\t0\nb\tc\td\t1\n")
    assert [task.name for task in load_glue_tasks(tmp_path)] == ["sst2", "wnli"]
    assert "without CoLA, MRPC, STS-B, QQP, MNLI, QNLI, RTE" in caplog.text
    with pytest.raises(ValueError, match="must hold folders like CoLA, SST-2"):
        load_glue_tasks(tmp_path / "wnli")
