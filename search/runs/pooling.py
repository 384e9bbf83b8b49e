"""What a text's prediction is best read from: the first token's state, or the mean of all.

Encoders are trained for one of the two, and rarely say for which. Before any training a linear map of the right one
tells more of the labels. Shapes: N texts, H hidden size, L labels.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import RidgeCV
from transformers import PreTrainedTokenizerBase

from dataset.task import TEXT, Task
from flexibert import FlexiBERTModel

POOLINGS = ("cls", "mean")
_TRAIN, _VALIDATION, _BATCH = 1000, 500, 50
_PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)

Array = npt.NDArray[np.float64]


def better_pooling(
    model: FlexiBERTModel, tokenizer: PreTrainedTokenizerBase, tasks: Sequence[Task], *, max_length: int
) -> tuple[str, str]:
    """The better of ``POOLINGS`` on the first of the tasks that is about whole texts, and a sentence that says so; the
    first token where there is none.

    Args:
        max_length: most tokens of a text.
    """
    task = next((task for task in tasks if task.task_type == TEXT), None)
    if task is None:
        return POOLINGS[0], "no task is about whole texts, so nothing is pooled"
    train, validation = (_states(model, tokenizer, task, name, max_length) for name in ("train", "validation"))
    fit = {
        name: float(
            RidgeCV(_PENALTIES).fit(train[name], train["targets"]).score(validation[name], validation["targets"])
        )
        for name in POOLINGS
    }
    best = max(POOLINGS, key=lambda name: fit[name])
    figures = " and ".join(f"{fit[name]:.3f} ({name})" for name in POOLINGS)
    return best, (
        f"pooling '{best}': linear maps of the frozen states explain {figures} of the labels' variance on validation; "
        "--pooling chooses"
    )


def _states(
    model: FlexiBERTModel, tokenizer: PreTrainedTokenizerBase, task: Task, split: str, max_length: int
) -> dict[str, Array]:
    """Pooled states (N, H) by kind of pooling, and targets (N, L)."""
    rows = task.splits[split]
    rows = rows.shuffle(seed=0).select(range(min(len(rows), _TRAIN if split == "train" else _VALIDATION)))
    columns = [name for name in ("text", "text_pair") if name in rows.column_names]
    found: dict[str, list[Array]] = {name: [] for name in POOLINGS}
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            texts = [list(batch[name]) for name in columns]
            inputs = tokenizer(*texts, truncation=True, max_length=max_length, padding=True, return_tensors="pt")
            states = model(**{name: inputs[name] for name in ("input_ids", "attention_mask")}).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1)
            found["cls"].append(states[:, 0].double().numpy())
            found["mean"].append(((states * mask).sum(1) / mask.sum(1)).double().numpy())
    labels = np.asarray(rows["label"][:])
    is_class = labels.ndim == 1 and not task.is_regression
    targets = np.eye(task.num_labels)[labels] if is_class else labels.astype(float).reshape(len(labels), -1)
    return {name: np.concatenate(states) for name, states in found.items()} | {"targets": targets}
