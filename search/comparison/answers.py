"""What the best model answers on held-out rows: which classes it takes for which, and the texts that it gets wrong.

Of tasks that give each text one class. Texts are as the models read them: cut where they are cut, few, and short.
Shapes: N rows, C classes.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from dataset import PreparedData

from ..records.comparison_file import Answers, ClassScores, Example
from .models import Compared

_MOST_CLASSES, _MOST_EXAMPLES, _LONGEST = 20, 20, 400

Rows = npt.NDArray[np.bool_]


def answers_of(
    best: Compared, reference: Compared | None, trial: str, data: PreparedData, split: str
) -> Answers | None:
    """What the best one answers on a split, beside a reference that may do better; None where texts have no one class.

    Args:
        trial: that made the best one.
    """
    if data.problem_type != "single_label_classification":
        return None
    labels = np.asarray(data.split(split)["labels"][:])
    said, shares = best.outputs.argmax(1), softmax(best.outputs, axis=1).max(1)
    is_right = said == labels
    of_reference = None if reference is None else reference.outputs.argmax(1)
    reference_right = None if of_reference is None else of_reference == labels
    shown = ~is_right if reference_right is None else ~is_right & reference_right
    places = np.flatnonzero(shown)
    places = places[np.argsort(-shares[places], kind="stable")][:_MOST_EXAMPLES]
    names, rows = data.label_names, data.split(split)
    shown_ids = [rows[int(place)]["input_ids"] for place in places]
    texts = [data.tokenizer.decode(ids, skip_special_tokens=True) for ids in shown_ids]
    return Answers(
        trial=trial,
        split=split,
        rows=len(labels),
        reference=reference.name if reference else None,
        label_names=list(names),
        confusion=confusion_matrix(labels, said, labels=np.arange(len(names))).tolist()
        if len(names) <= _MOST_CLASSES
        else None,
        classes=_classes(labels, said, names),
        counts=None if reference_right is None else _counts(is_right, reference_right),
        examples=[
            Example(
                text=text if len(text) <= _LONGEST else text[:_LONGEST].rstrip() + " …",
                label=names[labels[place]],
                best=names[said[place]],
                sure=float(shares[place]),
                reference=None if of_reference is None else names[of_reference[place]],
            )
            for text, place in zip(texts, places, strict=True)
        ],
        num_wrong=int(shown.sum()),
    )


def _counts(best: Rows, reference: Rows) -> dict[str, int]:
    return {
        "both": int((best & reference).sum()),
        "best": int((best & ~reference).sum()),
        "reference": int((~best & reference).sum()),
        "neither": int((~best & ~reference).sum()),
    }


def _classes(labels: npt.NDArray[np.int64], said: npt.NDArray[np.int64], names: tuple[str, ...]) -> list[ClassScores]:
    """The most frequent ones."""
    numbers = np.argsort(-np.bincount(labels, minlength=len(names)), kind="stable")[: 2 * _MOST_CLASSES]
    figures = precision_recall_fscore_support(labels, said, labels=numbers, zero_division=0.0)
    return [
        ClassScores(name=names[number], precision=float(p), recall=float(r), f1=float(f), rows=int(n))
        for number, p, r, f, n in zip(numbers, *figures, strict=True)
    ]
