"""The tokenizer that is saved with a model makes of texts what the model was trained on."""

from pathlib import Path

import pytest
from rich.console import Console
from transformers import AutoTokenizer

from dataset import PreparedData
from dataset.prepare import DataOptions


@pytest.fixture
def data(tmp_path: Path) -> PreparedData:
    table, text = tmp_path / "pairs.csv", tmp_path / "corpus.txt"
    rows = [f"the film number {i} was long,it was {'good ' * (i % 9)}too,{i % 2}" for i in range(40)]
    table.write_text("\n".join(["text_a,text_b,label", *rows]))
    text.write_text("\n".join(f"a line of plain words about films, number {i}" for i in range(60)))
    options = DataOptions(task=str(table), corpus=(text,), vocab_size=300, max_length=24)
    return options.prepare(tmp_path / "out", Console(quiet=True))


def test_pairs_keep_their_segments_and_long_texts_are_cut(data: PreparedData, tmp_path: Path) -> None:
    data.tokenizer.save_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    rows = {tuple(row["input_ids"]): row for row in data.split("train")}
    found = 0
    for i in range(40):
        encoded = tokenizer(f"the film number {i} was long", f"it was {'good ' * (i % 9)}too", truncation=True)
        row = rows.get(tuple(encoded["input_ids"]))
        if row is not None:
            assert encoded["token_type_ids"] == row["token_type_ids"]
            assert set(row["token_type_ids"]) == {0, 1}
            found += 1
    assert found == len(rows) == 32
    assert max(map(len, rows)) == 24
