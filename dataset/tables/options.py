"""The options of an own table: which of its columns are texts and labels, and where further rows are."""

from design_space.options import Place, Switch, options


@options
class TableOptions:
    """The meaning of an own table's columns; everything that is None is guessed, split off, or usual.

    The columns are those of texts and labels; of words and their tags the first and the last, of questions, contexts
    and answers all three. The usual metric is accuracy, ``f1_micro`` of several labels a text, ``pearson_spearman`` of
    numbers, ``entity_f1`` of tags like B-PER, ``answer_f1`` of answers.
    """

    text_column: str | None = None
    """Column of the texts in one's own table; guessed when not given."""
    text_pair_column: str | None = None
    """Column of second texts in one's own table; guessed when not given."""
    label_column: str | None = None
    """Column of the labels in one's own table; guessed when not given."""
    label_separator: str | None = None
    """Separator of the labels of a text that may have several, in one's own table."""
    skip_empty: Switch = False
    """Leave rows out whose text or label is empty, in one's own table, instead of stopping."""
    validation_file: Place | None = None
    """Table with the validation rows of one's own; split off when not given."""
    test_file: Place | None = None
    """Table with the test rows of one's own; split off when not given."""
    metric: str | None = None
    """Metric of one's own table, which is maximised; also any scorer of scikit-learn by name."""
