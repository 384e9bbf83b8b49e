"""Validation and test rows are taken out of training where a table comes without them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, train_test_split

_HELD_OUT = 0.1
_FEWEST_FOR_TWO = 10  # rows of numbers, of which each split then gets two


def split_off(
    frames: dict[str, pd.DataFrame],
    seed: int,
    *,
    classes: str | None = None,
    several: str | None = None,
    together: Sequence[str] = (),
) -> None:
    """Add the splits that are missing to ``frames``, a tenth of the rows each, reproducibly.

    Args:
        classes: column whose values every split has in proportion, where there are enough of each. Training keeps a
            row of every one.
        several: column of zeros and ones, one for each label that a row may have. Training keeps a row of every label.
        together: columns; rows that have the same in all of them stay in one split.

    Raises:
        ValueError: for fewer rows, or groups of rows, than splits and one more; where no row can leave training.
    """
    share = _HELD_OUT * len(frames["train"])
    wanted = [split for split in ("validation", "test") if split not in frames]
    if "test" in wanted and "validation" not in wanted:
        wanted = []  # the user's own split is complete
    are_numbers = not (classes or several or together)
    least = 2 if are_numbers and len(frames["train"]) >= _FEWEST_FOR_TWO else 1  # one alone has no correlation
    if wanted:
        whole = frames["train"].drop_duplicates(list(together)) if together else frames["train"]
        _check(len(whole), f"texts ({', '.join(together)})" if together else "rows", 2 + len(wanted))
    for split in wanted:
        rows = frames["train"]
        size = max(least, round(share))
        if together:
            groups = rows.groupby(list(together), sort=False).ngroup()
            of_rows = size / len(rows)
            kept, held_out = next(
                GroupShuffleSplit(n_splits=1, test_size=of_rows, random_state=seed).split(rows, groups=groups)
            )
            frames["train"], frames[split] = rows.iloc[kept], rows.iloc[held_out]
            continue
        if classes:
            frames["train"], frames[split] = _in_proportion(rows, classes, size, seed)
        elif several:
            frames["train"], frames[split] = _with_every_label(rows, several, size, seed)
        else:
            frames["train"], frames[split] = train_test_split(rows, test_size=size, random_state=seed)


def _in_proportion(rows: pd.DataFrame, classes: str, size: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training rows and ``size`` others, or fewer, of classes in proportion; with too many classes for that, at
    random, but the first row of every class stays in training."""
    alone = ~rows[classes].duplicated(keep=False)
    enough = rows[~alone]
    number = enough[classes].nunique()
    if number and size >= number and len(enough) - size >= number:
        kept, held_out = train_test_split(enough, test_size=size, random_state=seed, stratify=enough[classes])
        return (pd.concat([kept, rows[alone]]) if alone.any() else kept), held_out
    return _without(rows, ~rows[classes].duplicated(), size, seed)


def _with_every_label(rows: pd.DataFrame, several: str, size: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training rows and ``size`` others at random; where training lost a label, the first row of every one
    stays."""
    kept, held_out = train_test_split(rows, test_size=size, random_state=seed)
    labels = np.vstack(rows[several])
    known = np.flatnonzero(labels.any(axis=0))
    if np.vstack(kept[several])[:, known].any(axis=0).all():
        return kept, held_out
    stays = np.isin(np.arange(len(rows)), labels[:, known].argmax(axis=0))
    return _without(rows, pd.Series(stays, index=rows.index), size, seed)


def _without(rows: pd.DataFrame, stays: pd.Series, size: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    movable = rows[~stays]
    if movable.empty:
        raise ValueError("Every row is the only one of its class. Give more, or files for validation and test")
    held_out = movable.sample(min(size, len(movable)), random_state=seed)
    return rows.drop(held_out.index), held_out


def _check(number: int, what: str, least: int) -> None:
    if number < least:
        raise ValueError(
            f"{number} {what} are too few to split, {least} are needed. Give more, or files for validation and test"
        )
