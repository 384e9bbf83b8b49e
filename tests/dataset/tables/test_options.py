"""The options of an own table are checked when they are made."""

from pathlib import Path
from typing import Any

import pytest

from dataset import TableOptions


def test_names_stay_as_they_are_given_and_paths_are_made_absolute() -> None:
    options = TableOptions(text_column="review", validation_file=Path("a.csv"), test_file="b.csv")
    assert (options.text_column, options.label_column) == ("review", None)
    assert (options.validation_file, options.test_file) == (Path("a.csv").absolute(), Path("b.csv").absolute())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"text_colum": "review"}, "Unknown option 'text_colum'. Did you mean 'text_column'"),
        ({"metric": ["f1"]}, r"'metric' must be a text. Got \['f1'\]"),
    ],
)
def test_an_unknown_name_and_a_value_of_another_type_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TableOptions(**wrong)
