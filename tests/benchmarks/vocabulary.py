"""What vocabulary trimming costs on texts that were not counted: frozen sentence vectors of a BERT, whole and trimmed.

``python -m tests.benchmarks.vocabulary MODEL --data_dir GLUE`` trims a folder's BERT to the tokens of each task's
training texts (with and without the embedded corpus; of tokens used at least twice). Validation texts are compared by
the mean of the states of their tokens, and by the accuracy of a logistic regression on it, fitted to training texts,
which both split alike.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerBase

from dataset import Task, load_corpus, load_task
from flexibert import from_bert
from search.training.vocabulary import trim

_BATCH, _LENGTH = 32, 128
_FOLDERS = {"sst2": "SST-2", "mrpc": "MRPC"}
_COUNTED = ("training", "training, twice", "training and corpus", "training and corpus, twice")
_HEADER = (
    "task",
    "counted",
    "tokens",
    "parameters, M",
    "texts split otherwise, %",
    "tokens more, %",
    "cosine of these: mean, worst",
    "largest difference of the others",
    "accuracy, %",
)


def main() -> None:
    """Print a row for each task whole, and for each way to trim."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="folder of a BERT")
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with GLUE's TSV files, a folder each")
    parser.add_argument("--tasks", nargs="+", default=[*_FOLDERS, "python_docs"])
    parser.add_argument("--rows", type=int, default=5000, help="of training, the first")
    options = parser.parse_args()
    model, tokenizer = from_bert(BertModel.from_pretrained(options.model)), AutoTokenizer.from_pretrained(options.model)
    print(f"| {' | '.join(_HEADER)} |\n|{' --- |' * len(_HEADER)}")
    for name in options.tasks:
        task = load_task(name, data_dir=options.data_dir / _FOLDERS[name] if name in _FOLDERS else None)
        _compare(task, model, tokenizer, options.rows)


def _compare(task: Task, model: Any, tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    train = task.train.select(range(min(rows, len(task.train))))
    tokens, states = _tokens_and_states(model, tokenizer, task.validation)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    classifier.fit(_tokens_and_states(model, tokenizer, train)[1], train["label"][:])
    labels, size = task.validation["label"][:], model.num_parameters() / 1e6
    accuracy = 100 * classifier.score(states, labels)
    print(f"| {task.name} | | {len(tokenizer):,} | {size:.1f} | | | | | {accuracy:.1f} |", flush=True)
    for counted in _COUNTED:
        texts = _texts(train, with_corpus="corpus" in counted)
        trimmed = trim(model, tokenizer, texts, least_count=2 if "twice" in counted else 1)
        new_tokens, new_states = _tokens_and_states(trimmed.model, trimmed.tokenizer, task.validation)
        is_other = np.array([before != after for before, after in zip(tokens, new_tokens, strict=True)])
        more = 100 * (sum(map(len, new_tokens)) / sum(map(len, tokens)) - 1)
        lengths = np.linalg.norm(states, axis=1) * np.linalg.norm(new_states, axis=1)
        cosine = ((states * new_states).sum(axis=1) / lengths)[is_other]
        difference = np.abs(states - new_states)[~is_other].max(initial=0)
        print(
            f"| {task.name} | {counted} | {trimmed.new_size:,} | {trimmed.new_parameters / 1e6:.1f} | "
            f"{100 * is_other.mean():.0f} | {more:.1f} | {cosine.mean():.3f}, {cosine.min(initial=math.inf):.2f} | "
            f"{difference:.0e} | {100 * classifier.score(new_states, labels):.1f} |",
            flush=True,
        )


def _texts(train: Any, *, with_corpus: bool) -> Iterator[str]:
    for row in train.remove_columns("label"):
        yield from row.values()
    if with_corpus:
        yield from (row["text"] for row in load_corpus())


@torch.no_grad()
def _tokens_and_states(
    model: Any, tokenizer: PreTrainedTokenizerBase, table: Any
) -> tuple[list[list[str]], np.ndarray]:
    """The tokens of each row, and the mean of their states (rows, H); of pairs as one sequence."""
    columns = [table[name][:] for name in ("text", "text_pair") if name in table.column_names]
    model.eval()
    tokens: list[list[str]] = []
    states = []
    for start in range(0, len(table), _BATCH):
        texts = [column[start : start + _BATCH] for column in columns]
        batch = tokenizer(*texts, truncation=True, max_length=_LENGTH, padding=True, return_tensors="pt")
        mask = batch["attention_mask"].unsqueeze(-1)
        states.append((model(**batch).last_hidden_state * mask).sum(dim=1) / mask.sum(dim=1))
        rows = zip(batch["input_ids"], batch["attention_mask"].sum(dim=1), strict=True)
        tokens += [tokenizer.convert_ids_to_tokens(ids[:length]) for ids, length in rows]
    return tokens, torch.cat(states).numpy()


if __name__ == "__main__":
    main()
