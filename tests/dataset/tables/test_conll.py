"""CoNLL files: where words end, which lines are comments, and which columns are words and tags."""

from pathlib import Path

import pytest

from dataset import TableOptions, load_task
from dataset.tables.conll import read_conll

TREE = """# sent_id = {i}
# text = Im Haus.
1-2\tIm\t_\t_\t_\t_\t_\t_\t_\t_
1\tIn\tin\tADP\tAPPR\t_\t3\tcase\t_\t_
2\tdem\tder\tDET\tART\t_\t3\tdet\t_\t_
3\tHaus\tHaus\tNOUN\tNN\t_\t0\troot\t_\tSpaceAfter=No
3.1\tist\tsein\tAUX\tVA\t_\t_\t_\t_\t_
4\t.\t.\tPUNCT\t$.\t_\t3\tpunct\t_\t_
"""


@pytest.mark.parametrize(
    "word", ["Bad Ems", "10\xa0km", "\xa0", "12\u202f000", "rain\u2028or", "rain\x85or", "a\x1fb", "#tag", "rain"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_between_tabs_a_word_may_hold_anything(tmp_path: Path, word: str, end: str) -> None:
    sentence = end.join([f"{word}\tB-LOC", "Ida\tB-PER", f"{word}\tO", "Ems\tB-LOC"]) + end
    (tmp_path / "a.conll").write_bytes(((sentence + end) * 9).encode())
    task = load_task(tmp_path / "a.conll")
    assert [row["tokens"] for row in task.train] == [[word, "Ida", word, "Ems"]] * 7
    assert set(task.label_names) == {"O", "B-LOC", "B-PER"}


def test_comments_are_no_words_and_a_word_may_be_a_hash() -> None:
    frame = read_conll("# id 7\tdomain=x\n# two words\nida x B\nsaw x O\n# x O\n\n# x O\nems x B\n\n# x Y\n")
    assert frame["tokens"].tolist() == [["ida", "saw", "#"], ["#", "ems"]]
    assert frame["tags"].tolist() == [["B", "O", "O"], ["O", "B"]]
    assert list(frame.index) == [3, 7]


@pytest.mark.parametrize("commented", [True, False])
def test_trees_give_words_and_their_tags(tmp_path: Path, commented: bool) -> None:
    text = "\n".join(TREE.format(i=i) for i in range(9))
    text = text if commented else "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    (tmp_path / "a.conll").write_text(text)
    for options, tags in (
        (TableOptions(), ["ADP", "DET", "NOUN", "PUNCT"]),
        (TableOptions(label_column="deprel"), None),
    ):
        task = load_task(tmp_path / "a.conll", table=options)
        assert task.train[0]["tokens"] == ["In", "dem", "Haus", "."]
        found = [task.label_names[tag] for tag in task.train[0]["tags"]]
        assert found == (tags or ["case", "det", "root", "punct"])


def test_numbers_of_words_are_no_words() -> None:
    assert read_conll("1\tIda\tB\n2\tsaw\tO\n\n1\tEms\tB\n")["tokens"].tolist() == [["Ida", "saw"], ["Ems"]]
    assert read_conll("1 B\n2 O\n\n1 B\n")["tokens"].tolist() == [["1", "2"], ["1"]]
    assert read_conll("7 x B\n8 x O\n")["tokens"].tolist() == [["7", "8"]]


def test_a_line_of_another_width_is_told_with_its_number() -> None:
    with pytest.raises(ValueError, match="line 2 has 3 fields, the first one 2"):
        read_conll("Ida O\nBad Ems O\n")
    with pytest.raises(ValueError, match="line 2 has 1 fields, the first one 2"):
        read_conll("Ida O\n#word\n")
