"""Whether fine-tuning with 8-bit numbers in view (fake quantisation) wins back what they cost.

    python -m tests.benchmarks.tuned_int8 ROOT [FOLDER] [--rows 3000] [--shares 0.125 0.25] [--seeds 2]

``ROOT`` is a model that was fine-tuned on SST-2, ``FOLDER`` holds its ``train.tsv`` and ``dev.tsv`` (default
``../shared/data/glue/SST-2``). The root is pruned to shares of its layers' weights, each child trained on the first
rows. From there two runs of one epoch with one seed and one learning rate: as before, and with weights and inputs of
all linear maps, and the tables of the embeddings, rounded as ONNX Runtime's dynamic quantisation rounds them, gradients
straight through (Jacob et al. 2018). Accuracy on the whole of dev, each text by itself, of each model in float and in
8-bit numbers; and, finer, the mean cross-entropy of both.
"""

import argparse
import copy
import csv
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import AutoTokenizer, get_linear_schedule_with_warmup

from flexibert import prune
from flexibert.conversion.folders import load
from flexibert.runtimes.int8 import quantize
from flexibert.runtimes.onnx_file import write_onnx
from flexibert.runtimes.onnx_model import OnnxModel

BATCH, LENGTH = 32, 48
CHILD_RATE, TUNE_RATE = 1e-4, 3e-5
Batch = dict[str, Tensor]


class RoundedRows(nn.Module):
    """A weight in whole numbers from -127 to 127, each output channel with its own scale."""

    def forward(self, weight: Tensor) -> Tensor:
        scale = weight.detach().abs().amax(dim=1).clamp(min=1e-8) / 127
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


class RoundedTable(nn.Module):
    """A table of embeddings in whole numbers from 0 to 255, with one scale."""

    def forward(self, weight: Tensor) -> Tensor:
        return rounded(weight)


def rounded(x: Tensor) -> Tensor:
    """In whole numbers from 0 to 255, from the smallest to the largest value."""
    low, high = x.detach().min().clamp(max=0), x.detach().max().clamp(min=0)
    scale = (high - low).clamp(min=1e-8) / 255
    zero = (-low / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero.reshape(1), 0, 255)


def in_view(model: nn.Module) -> nn.Module:
    """A copy of the model that computes as if its maps were in 8-bit numbers."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", RoundedRows())
            module.register_forward_pre_hook(lambda _, inputs: tuple(map(rounded, inputs)))
        elif isinstance(module, nn.Embedding):
            parametrize.register_parametrization(module, "weight", RoundedTable())
    return model


def without_view(tuned: nn.Module, like: nn.Module) -> nn.Module:
    """The float model that was trained with 8-bit numbers in view."""
    model = copy.deepcopy(like)
    state = {name.replace("parametrizations.weight.original", "weight"): x for name, x in tuned.state_dict().items()}
    model.load_state_dict(state)
    return model


def read(file: Path, tokenizer: Any, rows: int | None) -> list[Batch]:
    """Single rows."""
    with file.open(encoding="utf-8") as stream:
        found = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[:rows]
    encoded = tokenizer([row["sentence"].strip() for row in found], truncation=True, max_length=LENGTH)
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in encoded]
    return [
        {name: torch.tensor([encoded[name][place]]) for name in names} | {"labels": torch.tensor([int(row["label"])])}
        for place, row in enumerate(found)
    ]


def batches(rows: list[Batch], size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Shuffled, padded with zeros: MiniLM's padding is token 0."""
    for places in torch.randperm(len(rows), generator=generator).split(size):
        picked = [rows[place] for place in places.tolist()]
        yield {
            name: torch.cat([row[name] for row in picked])
            if name == "labels"
            else nn.utils.rnn.pad_sequence([row[name][0] for row in picked], batch_first=True)
            for name in picked[0]
        }


def train(model: Any, rows: list[Batch], *, epochs: int, rate: float, seed: int) -> Any:
    """In place, with a linear schedule."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    steps = epochs * -(-len(rows) // BATCH)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    model.train()
    for _ in range(epochs):
        for batch in batches(rows, BATCH, generator):
            optimizer.zero_grad()
            model(**batch).loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def logits_of(model: Any, rows: list[Batch]) -> tuple[np.ndarray, np.ndarray]:
    """Of the model's ONNX files in float and in 8-bit numbers, each text by itself, (N, 2) each."""
    with TemporaryDirectory() as folder:
        of_float, whole = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        write_onnx(model, of_float)
        quantize(of_float, whole)
        files = [OnnxModel(file) for file in (of_float, whole)]
    found = [np.concatenate([file(row)[0] for row in rows]) for file in files]
    return found[0], found[1]


def report(name: str, model: Any, rows: list[Batch]) -> None:
    """A line of the table."""
    labels = np.array([int(row["labels"]) for row in rows])
    outputs = logits_of(model, rows)
    right = [100 * (each.argmax(-1) == labels) for each in outputs]
    losses = [float(nn.functional.cross_entropy(torch.tensor(each), torch.tensor(labels))) for each in outputs]
    lost = right[0] - right[1]
    error = lost.std(ddof=1) / len(lost) ** 0.5
    other = 100 * (outputs[0].argmax(-1) != outputs[1].argmax(-1)).mean()
    cells = [name, f"{model.num_parameters() / 1e6:.1f}", f"{right[0].mean():.2f}", f"{right[1].mean():.2f}"]
    cells += [f"{lost.mean():+.2f} ({error:.2f})", f"{other:.2f}", f"{losses[0]:.4f}", f"{losses[1]:.4f}"]
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Read the arguments, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/data/glue/SST-2"))
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=2, help="of the children, after pruning")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.125, 0.25])
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer, root = AutoTokenizer.from_pretrained(options.root), load(options.root).model.eval()
    rows = read(options.folder / "train.tsv", tokenizer, options.rows)
    dev = read(options.folder / "dev.tsv", tokenizer, None)
    print(
        "| model | M | float | int8 | lost (standard error) | other answers | loss: float | int8 |\n"
        + "| --- " * 8
        + "|"
    )
    report("root", root, dev)
    examples = list(batches(rows[:256], 16, torch.Generator().manual_seed(0)))
    for share in options.shares:
        child: Any = prune(root, density=share, examples=examples)
        train(child, rows, epochs=options.epochs, rate=CHILD_RATE, seed=0)
        report(f"{share:g}", child, dev)
        for seed in range(options.seeds):
            longer = train(copy.deepcopy(child), rows, epochs=1, rate=TUNE_RATE, seed=seed)
            report(f"{share:g}, an epoch more, seed {seed}", longer, dev)
            tuned = train(in_view(child), rows, epochs=1, rate=TUNE_RATE, seed=seed)
            report(f"{share:g}, an epoch in view, seed {seed}", without_view(tuned, child), dev)


if __name__ == "__main__":
    main()
