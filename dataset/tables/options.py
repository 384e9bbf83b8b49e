"""The options of an own table: which of its columns are texts and labels, and where further rows are.

They stand apart from the reading of tables, so that flags, configuration files and forms can be made of them.
"""

from pathlib import Path

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TableOptions:
    """The meaning of an own table's columns; everything that is None is guessed, split off, or usual.

    Attributes:
        text_column, text_pair_column, label_column: names of columns; of words and their tags the first and the last,
            of questions, contexts and answers all three.
        label_separator: separator of the labels of one text in a CSV or TSV file; makes the task multi-label.
        validation_file, test_file: further tables with the same columns.
        metric: name of what is maximised; accuracy, ``f1_micro`` of several labels a text, ``pearson_spearman`` of
            numbers, ``entity_f1`` of tags like B-PER, ``answer_f1`` of answers when None.
    """

    text_column: str | None = Field(default=None, description="of one's own table: the texts; guessed when not given")
    text_pair_column: str | None = Field(
        default=None, description="of one's own table: second texts; guessed when not given"
    )
    label_column: str | None = Field(default=None, description="of one's own table: the labels; guessed when not given")
    label_separator: str | None = Field(
        default=None, description="of one's own table: between the labels of a text that may have several"
    )
    validation_file: Path | str | None = Field(
        default=None, description="of one's own table: validation rows; split off when not given"
    )
    test_file: Path | str | None = Field(
        default=None, description="of one's own table: test rows; split off when not given"
    )
    metric: str | None = Field(
        default=None, description="of one's own table: what is maximised; also any scorer of scikit-learn by name"
    )
