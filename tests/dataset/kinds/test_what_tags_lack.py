"""Tags by which no predictions can be judged: the task is refused before training."""

import re
from pathlib import Path

import numpy as np
import pytest

from dataset import TableOptions, load_task
from dataset.kinds.token_classification import tag_metrics, what_tags_lack

TAGGED = "EU B-ORG\nx O\n\n"
NONE_TAGGED = "x O\ny O\n\n"


def _conll(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_file_without_an_entity_is_refused(tmp_path: Path, split: str) -> None:
    full, lacking = _conll(tmp_path / "a.conll", TAGGED * 3), _conll(tmp_path / "b.conll", NONE_TAGGED * 3)
    files = {"validation_file": full, "test_file": full, f"{split}_file": lacking}
    message = (
        f"Task 'a' is not valid: '{split}' has no entity, so that the metric entity_f1 is 0 for all predictions. Give "
        f"a file for {split} with other texts, or take another metric"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_task(full, table=TableOptions(**files))
    task = load_task(full, table=TableOptions(**files, metric="accuracy"))
    right = task.splits[split]["tags"][:]
    assert task.compute_metrics(right, right) == {"accuracy": 1.0}


def test_a_random_split_without_an_entity_is_refused(tmp_path: Path) -> None:
    path = _conll(tmp_path / "a.conll", TAGGED * 2 + "".join(f"y{i} O\nx O\n\n" for i in range(60)))
    with pytest.raises(ValueError, match=r"'validation' has no entity, .*; 'test' has no entity, .* another metric"):
        load_task(path)


def test_a_measure_of_words_that_needs_every_tag_is_refused(tmp_path: Path) -> None:
    train = _conll(tmp_path / "a.conll", "runs VERB\ndog NOUN\n\n" * 3)
    lacking = _conll(tmp_path / "b.conll", "cat NOUN\ndog NOUN\n\n")
    options = {"validation_file": lacking}
    message = (
        r"'validation' has no word with the tag 'VERB', so that the metric matthews_correlation is undefined \(.*\)"
    )
    with pytest.raises(ValueError, match=message):
        load_task(train, table=TableOptions(**options, metric="matthews_correlation"))
    assert load_task(train, table=TableOptions(**options)).metric == "accuracy"


@pytest.mark.parametrize("names", ["O B I", "O I-X", "O B-X I-X E-X S-X", "O B-X L-X U-X", "O B-X M-X W-X"])
def test_any_tag_but_o_is_an_entity_alone(names: str) -> None:
    known = names.split()
    for tag in range(1, len(known)):
        assert what_tags_lack([[0], [tag, 0]], known, "entity_f1") is None
        assert tag_metrics([[0], [tag, 0]], [[0], [tag, 0]], known, "entity_f1")["entity_f1"] == 1
    assert what_tags_lack([[0], [0, 0]], known, "entity_f1") is not None
    assert tag_metrics(np.zeros((1, 2)), np.zeros((1, 2)), known, "entity_f1")["entity_f1"] == 0
