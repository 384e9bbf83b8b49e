"""The options of an own table are checked when they are made."""

from pathlib import Path
from typing import Any

import pytest

from dataset import TableOptions


def test_values_stay_as_they_are_given() -> None:
    options = TableOptions(text_column="review", validation_file=Path("a.csv"), test_file="b.csv")
    assert (options.text_column, options.label_column) == ("review", None)
    assert (options.validation_file, options.test_file) == (Path("a.csv"), "b.csv")


@pytest.mark.parametrize(("wrong", "named"), [({"text_colum": "review"}, "text_colum"), ({"metric": 3}, "metric")])
def test_an_unknown_name_and_a_value_of_another_type_are_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=rf"TableOptions\n{named}\n"):
        TableOptions(**wrong)
