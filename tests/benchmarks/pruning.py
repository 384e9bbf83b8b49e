"""What pruning costs and gives: accuracy on SST-2 and MNIST at one half and one quarter, speed at BERT-base's size.

    python -m tests.benchmarks.pruning [FOLDER] [--parts speed sst2 mnist] [--seeds 3] [--out FILE.json]

``FOLDER`` holds ``glue/SST-2/{train_full.tsv.gz,dev.tsv}`` and ``images/mnist-t10k-*`` (default ``../shared/data``).
A parent is trained; then, each with the same further budget, the parent goes on, and children are pruned to a share of
its encoder's linear weights: two thirds of the budget with moving masks (whole heads, joint in query, key and value;
whole neurons) and the parent as teacher, one third compacted. One-shot children are taken from the parent that went on.
"""

import argparse
import csv
import gzip
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, DeiTConfig, DeiTForImageClassification

from flexibert import (
    FlexiBERTConfig,
    FlexiBERTForSequenceClassification,
    MovementPruner,
    PruningConfig,
    from_bert,
    prune,
)
from flexibert.pruning import linear_weights

SHARES = (0.5, 0.25)
LENGTH, BATCH = 40, 64
Batches = Callable[[int], Iterator[dict[str, Any]]]


def main(arguments: list[str] | None = None) -> None:
    """Runs the parts asked for and prints their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--parts", nargs="+", default=["speed"], choices=["speed", "sst2", "mnist"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--steps", type=int, default=300, help="of the second phase, of 64 examples each; the first has twice as many"
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--layers", type=int, default=12, help="of the model whose speed is measured")
    options = parser.parse_args([] if arguments is None else arguments)
    found: dict[str, Any] = {}
    if "speed" in options.parts:
        found["speed"] = speed(options.layers)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for part in ("sst2", "mnist"):
        if part in options.parts:
            run = _sst2 if part == "sst2" else _mnist
            found[part] = [run(options.folder, seed, options.steps) for seed in range(options.seeds)]
            _print_means(part, found[part])
    torch.set_num_threads(threads)
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=2))


def speed(num_layers: int, repeats: int = 12) -> list[dict[str, float]]:
    """Measured against theoretical speed-up (linear weights) of reloaded models, batch 8 x 128, 2 threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    parent = from_bert(BertForSequenceClassification(BertConfig(num_hidden_layers=num_layers))).eval()
    batch = {"input_ids": torch.randint(5, 30000, (8, 128)), "attention_mask": torch.ones(8, 128, dtype=torch.long)}
    rows = []
    for share in SHARES:
        start = time.perf_counter()
        small = prune(parent, density=share, examples=[{**batch, "labels": torch.zeros(8, dtype=torch.long)}])
        seconds = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            small.save_pretrained(folder)
            small = type(small).from_pretrained(folder).eval()
        times: dict[str, list[float]] = {"parent": [], "small": []}
        for _ in range(repeats + 2):
            for name, model in (("parent", parent), ("small", small)):
                times[name].append(_seconds(model, batch))
        medians = {name: statistics.median(values[2:]) for name, values in times.items()}
        theoretical = linear_weights(parent.config.model_spec) / linear_weights(small.config.model_spec)
        rows.append(
            {
                "share": share,
                "theoretical": theoretical,
                "measured": medians["parent"] / medians["small"],
                "parent_ms": 1000 * medians["parent"],
                "small_ms": 1000 * medians["small"],
                "prune_s": seconds,
            }
        )
        print("speed", {name: round(value, 3) for name, value in rows[-1].items()}, flush=True)
    torch.set_num_threads(threads)
    return rows


def _seconds(model: Any, batch: dict[str, Any]) -> float:
    start = time.perf_counter()
    with torch.no_grad():
        model(**batch)
    return time.perf_counter() - start


def _sst2(folder: Path, seed: int, steps: int) -> dict[str, float]:
    train, dev, vocabulary = _sentences(folder / "glue" / "SST-2")
    torch.manual_seed(seed)
    layers = {"l": 4, "o": ["sa"] * 4, "h": [64] * 4, "n": [4] * 4, "f": [[256]] * 4, "p": ["sdp"] * 4}
    config = FlexiBERTConfig(
        model_dict=layers, vocab_size=vocabulary, max_position_embeddings=LENGTH, position_embedding_type="absolute"
    )
    model = FlexiBERTForSequenceClassification(config)
    return _compare("sst2", seed, model, train, dev, steps, 1e-3)


def _mnist(folder: Path, seed: int, steps: int) -> dict[str, float]:
    images, labels = (
        _idx(folder / "images" / f"mnist-t10k-{name}.gz") for name in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    pixels = (torch.tensor(images).float().unsqueeze(1) / 255 - 0.13) / 0.31
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    pixels, answers = pixels[order], torch.tensor(labels).long()[order]
    torch.manual_seed(seed)
    config = DeiTConfig(
        image_size=28, patch_size=7, num_channels=1, hidden_size=64, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=256, num_labels=10,
    )  # fmt: skip
    model = DeiTForImageClassification(config)
    train = {"pixel_values": pixels[:8000], "labels": answers[:8000]}
    return _compare("mnist", seed, model, train, {"pixel_values": pixels[8000:], "labels": answers[8000:]}, steps, 1e-3)


def _compare(
    name: str, seed: int, model: Any, train: dict[str, Any], dev: dict[str, Any], steps: int, rate: float
) -> dict[str, float]:
    """Accuracies, in percent, of the parent after both phases and of its children."""
    hidden, head_size = model.config.hidden_size, model.config.hidden_size // model.config.num_attention_heads
    found: dict[str, float] = {}

    def note(key: str, value: float) -> None:
        found[key] = value
        print(name, seed, key, round(value, 2), f"({time.perf_counter() - start:.0f} s)", flush=True)

    start = time.perf_counter()
    _train(model, train, 2 * steps, rate, seed)
    note("parent, first phase", _accuracy(model, dev))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    _train(model, train, steps, rate, seed + 100)
    note("parent, both phases, at the masks' learning rate", _accuracy(model, dev))
    model.load_state_dict(state)
    _train(model, train, steps, rate / 2, seed + 100)
    note("parent, both phases", _accuracy(model, dev))
    examples = list(_batches(train, 8, 7))
    for share in SHARES:
        for repair in (False, True):
            child = prune(model, density=share, examples=examples, repair=repair)
            note(f"one-shot {share}{' repaired' * repair}", _accuracy(child, dev))
    for share in SHARES:
        masked = type(model)(model.config)
        masked.load_state_dict(state)
        options = {
            "attention_pruning_method": "topK:joint",
            "attention_block_rows": head_size,
            "attention_block_cols": hidden,
            "attention_output_with_dense": False,
            "dense_pruning_method": "topK:1d_alt",
            "final_threshold": share,
            "final_finetune": "filled",
        }
        teacher = type(model)(model.config)
        teacher.load_state_dict(state)
        pruner = MovementPruner(masked, PruningConfig(**options), teacher=teacher)
        _train(masked, train, 2 * steps // 3, rate, seed + 100, pruner)  # what is left learns anew
        small = pruner.compact()
        note(f"pruned {share}, compacted", _accuracy(small, dev))
        _train(small, train, steps - 2 * steps // 3, rate / 4, seed + 200, teacher=pruner)
        note(f"pruned {share}", _accuracy(small, dev))
        specs = [x.config.model_spec for x in (prune(model, density=1.0, examples=examples), small)]
        found[f"share {share}"] = linear_weights(specs[1]) / linear_weights(specs[0])
    return found


def _train(
    model: Any,
    rows: dict[str, Any],
    steps: int,
    rate: float,
    seed: int,
    pruner: MovementPruner | None = None,
    teacher: MovementPruner | None = None,
) -> None:
    """AdamW, a linear warm-up over a tenth, then linearly down; ``teacher``: only its distillation."""
    torch.manual_seed(seed)
    warmup = steps // 10
    groups = pruner.parameter_groups(rate, 0.01) if pruner else [{"params": list(model.parameters()), "lr": rate}]
    optimizer = torch.optim.AdamW(groups)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / max(warmup, 1), (steps - step) / max(steps - warmup, 1))
    )
    model.train()
    if teacher is not None:
        teacher.is_finetuning = True
    for step, batch in enumerate(_batches(rows, steps, seed)):
        if pruner is not None:
            pruner.set_step(step, steps, warmup)
        outputs = model(**batch)
        guide = pruner or teacher
        loss = outputs.loss if guide is None else guide.loss(outputs.loss, batch, outputs)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()


def _batches(rows: dict[str, Any], steps: int, seed: int) -> Iterator[dict[str, Any]]:
    """Random batches; sentences are cut to their longest."""
    generator = torch.Generator().manual_seed(seed)
    number, made = len(rows["labels"]), 0
    while made < steps:
        order = torch.randperm(number, generator=generator)
        if "input_ids" in rows:  # batches of like lengths, in random order
            lengths = rows["input_ids"].ne(0).sum(1)[order]
            order = torch.cat([x[lengths[i : i + 50 * BATCH].argsort()] for i, x in _pieces(order, 50 * BATCH)])
            starts = torch.randperm(number // BATCH, generator=generator) * BATCH
        else:
            starts = torch.arange(number // BATCH) * BATCH
        for begin in starts.tolist():
            yield _cut({name: x[order[begin : begin + BATCH]] for name, x in rows.items()})
            made += 1
            if made == steps:
                return


def _pieces(order: torch.Tensor, size: int) -> Iterator[tuple[int, torch.Tensor]]:
    for begin in range(0, len(order), size):
        yield begin, order[begin : begin + size]


def _cut(batch: dict[str, Any]) -> dict[str, Any]:
    if "input_ids" not in batch:
        return batch
    longest = int(batch["input_ids"].ne(0).sum(1).max())
    ids = batch["input_ids"][:, :longest]
    return {**batch, "input_ids": ids, "attention_mask": ids.ne(0).long()}


def _accuracy(model: Any, rows: dict[str, Any]) -> float:
    """In percent."""
    was_training, right = model.training, 0
    model.eval()
    for begin in range(0, len(rows["labels"]), 256):
        batch = _cut({name: x[begin : begin + 256] for name, x in rows.items()})
        with torch.no_grad():
            right += int((model(**batch).logits.argmax(-1) == batch["labels"]).sum())
    model.train(was_training)
    return 100 * right / len(rows["labels"])


def _sentences(folder: Path) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Training and development rows as ids of words that occur twice, and the size of the vocabulary."""
    with gzip.open(folder / "train_full.tsv.gz", "rt") as file:
        train = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    with (folder / "dev.tsv").open() as file:
        dev = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    counts = Counter(word for text, _ in train for word in text.split())
    known = {word: number for number, word in enumerate((x for x in counts if counts[x] > 1), start=3)}

    def rows(table: list[list[str]]) -> dict[str, Any]:
        ids = torch.zeros(len(table), LENGTH, dtype=torch.long)
        for number, (text, _) in enumerate(table):
            words = [1, *(known.get(word, 2) for word in text.split())][:LENGTH]
            ids[number, : len(words)] = torch.tensor(words)
        return {"input_ids": ids, "labels": torch.tensor([int(label) for _, label in table])}

    return rows(train), rows(dev), len(known) + 3


def _idx(path: Path) -> np.ndarray:
    data = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i]) for i in range(data[3])]
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * len(shape)).reshape(shape).copy()


def _print_means(name: str, rows: list[dict[str, float]]) -> None:
    for key in rows[0]:
        values = [row[key] for row in rows]
        spread = f" +- {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        print(f"{name}  {key}: {statistics.mean(values):.2f}{spread}", flush=True)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
