"""GLUE from its TSV files: official counts and clear refusals."""

from pathlib import Path

import pytest

from dataset import load_task
from dataset.glue import GLUE

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


@pytest.mark.parametrize("name", GLUE)
def test_row_counts_are_the_published_ones(name: str, shared_data: Path) -> None:
    folder, num_train, num_validation = COUNTS[name]
    task = load_task(name, data_dir=shared_data / "glue" / folder)
    assert (len(task.train), len(task.validation), task.test) == (num_train, num_validation, None)


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


def test_an_unreachable_hub_suggests_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("dataset.glue.hf_datasets.load_dataset", unreachable)
    with pytest.raises(ValueError, match=r"could not be loaded from the Hub.*no route.*--data_dir"):
        load_task("cola")
