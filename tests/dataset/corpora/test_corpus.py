"""Corpora are streams: of every format, by weight, with the place of what is wrong."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import pandas as pd
import pytest

from dataset import load_corpus


def _texts(*sources: Path | str, **options: Any) -> list[str]:
    return [row["text"] for row in load_corpus(sources, **options)]


def test_every_format_gives_its_documents_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffone\n\n  two  \n", encoding="utf-8")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"three\nfour"))
    (tmp_path / "c.jsonl").write_text(json.dumps({"text": "five\nsix", "id": 1}) + "\n\n")
    hf_datasets.Dataset.from_dict({"id": [1, 2], "text": ["seven", None]}).to_parquet(tmp_path / "d.parquet")
    (tmp_path / "ignored.csv").write_text("no,text")
    documents = ["one", "two", "three", "four", "five\nsix", "seven"]
    assert _texts(tmp_path) == documents
    assert _texts(tmp_path / "d.parquet", tmp_path / "a.txt") == ["seven", "one", "two"]
    hf_datasets.Dataset.from_dict({"text": ["eight"], "more": [1]}).save_to_disk(tmp_path / "saved")
    assert list(load_corpus([tmp_path / "saved"])) == [{"text": "eight"}]


def test_a_very_long_line_is_cut_at_blanks_into_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"{'abc ' * 60_000}\n{'x' * 150_000}\n{' ' * 300_000}\nshort\n")
    texts = _texts(tmp_path / "a.txt")
    assert [len(text) for text in texts] == [99_999, 99_999, 39_999, 100_000, 50_000, 5]
    assert " ".join(texts[:3]).split() == ["abc"] * 60_000


def test_a_stream_reads_no_further_than_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"good\n" * 5000 + b"b\xe4d\n")
    assert len(list(load_corpus([tmp_path / "a.txt"]).take(4000))) == 4000
    with pytest.raises(ValueError, match=r"a.txt, line 5001 is not UTF-8 text"):
        _texts(tmp_path / "a.txt")


def test_weights_decide_how_often_a_source_is_drawn_from_and_none_is_cut(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("".join(f"{name}{i}\n" for i in range(400)))
    drawn = _texts(tmp_path / "a.txt", tmp_path / "b.txt", weights=(3, 1), seed=1)
    counts = Counter(text[0] for text in drawn)
    assert counts["a"] / counts["b"] == pytest.approx(3, rel=0.15)
    assert len({text for text in drawn if text[0] == "a"}) == len({text for text in drawn if text[0] == "b"}) == 400
    assert drawn == _texts(tmp_path / "a.txt", tmp_path / "b.txt", weights=(3, 1), seed=1)
    assert drawn != _texts(tmp_path / "a.txt", tmp_path / "b.txt", weights=(3, 1), seed=2)


def test_names_of_the_hub_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = hf_datasets.Dataset.from_dict({"text": ["far away"], "title": ["x"]}).to_iterable_dataset()
    asked: list[Any] = []
    monkeypatch.setattr(
        "dataset.corpora.corpus.load_from_hub", lambda *names, **more: asked.append((*names, more)) or rows
    )
    assert _texts("someone/words:plain") == ["far away"]
    assert asked == [("someone/words", "plain", {"split": "train", "streaming": True})]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b" \n\n", "No text in the corpus: .*a.txt"),
        ("a.txt", b"fine\n\xff\n", "a.txt, line 2 is not UTF-8 text: invalid start byte. Save it as UTF-8"),
        ("a.txt", "one\ntwo".encode("utf-16"), "a.txt, line 1 is not UTF-8 text \\(a NUL"),
        (
            "a.txt",
            "one\ntwo".encode("utf-16-le"),
            "a.txt, line 1 is not UTF-8 text \\(a NUL character\\). Save the file as UTF-8",
        ),
        ("a.txt", b"one\ntw\0o", "a.txt, line 2 is not UTF-8 text \\(a NUL character\\). Save the file as UTF-8"),
        ("a.jsonl", '{"text": "a"}'.encode("utf-16-be"), "a.jsonl, line 1 is not UTF-8 text \\(a NUL"),
        ("a.txt.gz", b"not gzipped", "a.txt.gz is damaged after line 0"),
        ("a.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', "a.jsonl, line 2 has no 'text' that is a string"),
        ("a.jsonl", b"{", "a.jsonl, line 1 is not JSON: Expecting property name enclosed in double quotes"),
        (
            "a.jsonl",
            b'{"text": "a"}\n{"text": ' + b"[" * 100_000,
            "a.jsonl, line 2 is not JSON: it is nested too deeply",
        ),
        ("a.jsonl", b'{"text": "a", "id": ' + b"1" * 5000 + b"}", "a.jsonl, line 1 is not JSON: Exceeds the limit"),
        (
            "a.jsonl",
            b'{"text": "a"}\n{"text": "cut \\ud83d"}',
            r"a.jsonl, line 2: 'text' has half of a character, 'cut",
        ),
        ("a.parquet", b"nonsense", "a.parquet is no Parquet file"),
    ],
)
def test_what_is_no_corpus_is_told_with_its_place(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        _texts(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["A.JSONL", "A.JSONL.GZ", "A.Parquet", "A.TXT", "A.Txt.Gz", "A.MD", "notes", "wiki.train.tokens"]
)
def test_endings_may_be_in_capitals_missing_or_unknown(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = b'{"text": "one"}\n{"text": "two"}' if "JSONL" in name else b"one\ntwo"
    if name == "A.Parquet":
        hf_datasets.Dataset.from_dict({"text": ["one", "two"]}).to_parquet(path)
    else:
        path.write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    assert _texts(path) == ["one", "two"]
    if name.startswith("A."):
        assert _texts(tmp_path) == ["one", "two"]


@pytest.mark.parametrize("name", ["a.json", "a.CSV", "a.csv.gz", "a.tsv", "a.xlsx", "a.yaml", "a.xml", "a.parquet.gz"])
def test_a_file_of_another_format_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text\n")
    message = (
        f"{tmp_path / name} cannot be read as a corpus: it is neither plain text nor .jsonl, .jsonl.gz, .parquet. "
        "If it is plain text, rename it to .txt"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_corpus([tmp_path / name])


def test_hidden_files_and_folders_are_left_out_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "texts"  # a folder that is named may be in a hidden one
    for name in ("a.txt", ".b.txt", ".git/c.txt", "more/d.txt", "more/.e/f.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    assert _texts(folder) == ["a.txt", "more/d.txt"]
    assert _texts(folder / ".b.txt") == [".b.txt"]


@pytest.mark.parametrize("place", [20, 2000, -6])
def test_a_gzipped_file_that_is_damaged_inside_is_told(tmp_path: Path, place: int) -> None:
    content = bytearray(gzip.compress("\n".join(str(number * 7919) for number in range(20_000)).encode()))
    content[place] ^= 0xFF
    (tmp_path / "a.txt.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.txt.gz is damaged after line \d+: .+"):
        _texts(tmp_path / "a.txt.gz")


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [(b"one", "b'one'"), (["a"], "['a']"), (7, "7"), ({"a": 1}, "{'a': 1}")],
    ids=["bytes", "list", "number", "object"],
)
def test_texts_in_columns_must_be_strings(tmp_path: Path, wrong: Any, shown: str) -> None:
    rows = hf_datasets.Dataset.from_dict({"text": [None, wrong]})
    rows.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(
        ValueError, match=re.escape(f"{tmp_path / 'a.parquet'}, row 2: 'text' must be a string. Got {shown}")
    ):
        _texts(tmp_path / "a.parquet")
    rows.save_to_disk(tmp_path / "saved")
    message = f"The corpus {tmp_path / 'saved'}: column 'text' must hold strings. Got {shown}"
    with pytest.raises(ValueError, match=re.escape(message)):
        _texts(tmp_path / "saved")


def test_rows_without_a_text_are_left_out(tmp_path: Path) -> None:
    rows = hf_datasets.Dataset.from_dict({"text": ["one", None, "two"]})
    rows.to_parquet(tmp_path / "a.parquet")
    rows.save_to_disk(tmp_path / "saved")
    assert _texts(tmp_path / "a.parquet") == _texts(tmp_path / "saved") == ["one", "two"]


def test_categories_are_strings(tmp_path: Path) -> None:
    pd.DataFrame({"text": pd.Categorical(["one", "two", "one"])}).to_parquet(tmp_path / "a.parquet")
    assert _texts(tmp_path / "a.parquet") == ["one", "two", "one"]


def test_a_parquet_file_that_is_damaged_inside_is_told(tmp_path: Path) -> None:
    pd.DataFrame({"text": [str(number * 7919) for number in range(9000)]}).to_parquet(tmp_path / "a.parquet")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[5000:5008] = b"\xff" * 8
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.parquet is no Parquet file, or damaged: .+"):
        _texts(tmp_path / "a.parquet")


def test_sources_and_weights_must_be_there_and_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"No such file or folder of the corpus: .*none\.txt"):
        load_corpus([tmp_path / "none.txt"])
    with pytest.raises(ValueError, match=r"holds no text files"):
        load_corpus([tmp_path])
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ValueError, match=r"one weight above 0 for each of its 1 sources. Got \(1, 2\)"):
        load_corpus([tmp_path / "a.txt"], weights=(1, 2))
