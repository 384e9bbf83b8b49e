"""Copies of texts with exchanged words: as many, of the same words, and only where a teacher labels whole texts."""

from pathlib import Path

from rich.console import Console

from dataset.altered import altered_copies
from dataset.prepare import DataOptions
from dataset.task import FURTHER, Task, make_split


def _task(num_texts: int = 400) -> Task:
    first = [f"one two\tthree  four f{i}" for i in range(num_texts)]
    rows = make_split({"text": first, "text_pair": ["seven eight"] * num_texts, "label": [0, 1] * (num_texts // 2)})
    return Task(name="pairs", label_names=("no", "yes"), train=rows, validation=rows)


def test_a_seventh_of_the_words_is_exchanged_for_others_of_the_training_texts():
    task = _task()
    rows = altered_copies(task, 2, seed=0)
    assert rows.column_names == ["text", "text_pair"]
    assert len(rows) == 800
    known = {word for text in (*task.train["text"], *task.train["text_pair"]) for word in text.split()}
    places = list(zip(task.train["text"][:] * 2, rows["text"][:], strict=True))
    assert all(len(after.split()) == 5 and set(after.split()) <= known for _, after in places)
    changed = sum(a != b for before, after in places for a, b in zip(before.split(), after.split(), strict=True))
    expected = 0.15 * (1 - (4 / 5) / 7)  # four of five words come in every text
    assert abs(changed / (800 * 5) - expected) < 0.01
    assert rows["text"][:400] != rows["text"][400:]


def test_spaces_stay_and_a_seed_gives_the_same():
    task = _task()
    rows = altered_copies(task, 1, seed=1)
    assert all("\t" in text and "  " in text for text in rows["text"])
    assert altered_copies(task, 1, seed=1)["text"][:] == rows["text"][:]
    assert altered_copies(task, 1, seed=2)["text"][:] != rows["text"][:]


def test_they_are_prepared_beside_the_texts_of_a_table(tmp_path: Path):
    table, more, text = tmp_path / "mine.csv", tmp_path / "more.csv", tmp_path / "corpus.txt"
    rows = [f"the {'good' if i % 2 else 'bad'} film number {i},{'yes' if i % 2 else 'no'}" for i in range(40)]
    table.write_text("\n".join(["review,verdict", *rows]))
    more.write_text("review\nno label here\n")
    text.write_text("\n".join(f"a line of plain words about films, number {i}" for i in range(60)))
    options = DataOptions(
        task=str(table), corpus=(text,), vocab_size=300, max_length=16, unlabelled=more, altered_copies=3
    )
    data = options.prepare(tmp_path / "out", Console(quiet=True))
    assert len(data.unlabelled[FURTHER]) == 1 + 3 * data.sizes["train"]
    assert data.sizes["train"] == 32
