"""Share of padding in batches of fine-tuning: rows at random, in transformers' length groups, and in ours.

``python -m tests.benchmarks.padding FOLDER`` reads what ``prepare_data`` wrote to ``FOLDER`` and prints the mean over
20 epochs, of each task and of random parts of it, all with the same batch size.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers.trainer_pt_utils import get_length_grouped_indices

from dataset import PreparedData
from search.training.samplers import EpochOrder, Lengths, lengths_of

_EPOCHS = 20


def padding_share(order: Sequence[int], lengths: Lengths, batch_size: int) -> float:
    """Of all positions, in [0, 1]."""
    batches = [lengths[list(order[start : start + batch_size])] for start in range(0, len(order), batch_size)]
    return float(1 - lengths.sum() / sum(len(batch) * batch.max() for batch in batches))


def main() -> None:
    """Print one row per task and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="prepared data")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 128, 256], help="of random parts")
    options = parser.parse_args()
    size = options.batch_size
    print("| task | rows | random, % | transformers, % | ours, % |\n|" + " --- |" * 5)
    for task in PreparedData.load(options.folder).tasks:
        lengths = lengths_of(task.split("train"))
        for number in [*options.sizes, len(lengths)]:
            of_part: list[Lengths] = [
                np.random.default_rng(epoch).choice(lengths, number, replace=False) for epoch in range(_EPOCHS)
            ]
            shares = [_mean(kind, of_part, size) for kind in (_random, _library, _ours)]
            print(f"| {task.name} | {number:,} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |")


def _mean(kind: Callable[[Lengths, int, int], Sequence[int]], parts: list[Lengths], size: int) -> float:
    return float(np.mean([padding_share(kind(part, size, epoch), part, size) for epoch, part in enumerate(parts)]))


def _random(lengths: Lengths, size: int, epoch: int) -> Sequence[int]:
    return list(EpochOrder(len(lengths), batch_size=size, seed=epoch))


def _library(lengths: Lengths, size: int, epoch: int) -> Sequence[int]:
    generator = torch.Generator().manual_seed(epoch)
    return get_length_grouped_indices(lengths.tolist(), size, generator=generator)


def _ours(lengths: Lengths, size: int, epoch: int) -> Sequence[int]:
    return list(EpochOrder(len(lengths), batch_size=size, seed=epoch, lengths=lengths))


if __name__ == "__main__":
    main()
