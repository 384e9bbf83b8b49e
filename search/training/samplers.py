"""The order in which a trainer sees rows: a random one each epoch, texts of similar length in one batch.

The order depends on the seed and the epoch alone, so it is the same in every process of a distributed run, whose
batches are then different rows of it, and after a restart. Rows are shuffled, sorted by length within stretches of
``STRETCH`` batches, and the batches shuffled; the longest texts share the batch that is not full. Letters: ``N`` rows.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import datasets as hf_datasets
import numpy as np
import numpy.typing as npt
import pyarrow.compute
import torch
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer
from transformers.trainer_utils import seed_worker

from .collators import OF_TEACHER

STRETCH = 50
_PART = 10_000  # numbers that are Python's at a time

Lengths = npt.NDArray[np.int64]
TaughtLoss = Callable[[torch.Tensor, Any, Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]], torch.Tensor]
"""The loss to minimise, of the task's loss, a model's outputs, its inputs, and a teacher's outputs."""


class EpochOrder(Sampler[int]):
    """Yields the row numbers of an epoch; ``set_epoch`` chooses which.

    Args:
        num_rows: ``N``.
        lengths: tokens of each row, ``(N,)``; None where all are equal.
        batch_size: rows of a batch of one process.
        num_processes: that take batches in turn. With several, rows that do not fill a batch for each are left out of
            the epoch, others in each, so that no row comes twice; unless there are fewer rows than one such round.
    """

    def __init__(
        self, num_rows: int, *, batch_size: int, seed: int, lengths: Lengths | None = None, num_processes: int = 1
    ) -> None:
        self._num_rows, self._lengths, self._seed, self._epoch = num_rows, lengths, seed, 0
        self._batch_size, self._round = batch_size, batch_size * num_processes
        self._length = num_rows - num_rows % self._round if num_processes > 1 and num_rows >= self._round else num_rows

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch; the trainer calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng((self._seed, self._epoch))
        order = rng.permutation(self._num_rows)[: self._length]
        if self._lengths is not None:
            order = self._grouped(order, self._lengths, rng)
        for start in range(0, len(order), _PART):
            yield from order[start : start + _PART].tolist()

    def _grouped(self, order: Lengths, lengths: Lengths, rng: np.random.Generator) -> Lengths:
        stretch = STRETCH * self._round
        parts = [order[start : start + stretch] for start in range(0, len(order), stretch)]
        order = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])
        whole = len(order) - len(order) % self._round
        rounds = order[:whole].reshape(-1, self._round)
        return np.concatenate([rng.permutation(rounds).ravel(), order[whole:]])


class LongestFirst(Sampler[int]):
    """Yields row numbers from the longest to the shortest text: for evaluation, where the order makes no difference."""

    def __init__(self, lengths: Lengths) -> None:
        self.order: Lengths = np.argsort(-lengths, kind="stable")

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[int]:
        return iter(self.order.tolist())

    def restored(self, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Puts outputs ``(N, ...)`` that came in this order into the order of the rows."""
        return outputs[np.argsort(self.order)]


class OrderedTrainer(Trainer):
    """A ``Trainer`` that trains in ``EpochOrder``, with ``train_sampling_strategy="group_by_length"`` by lengths, and
    evaluates ``LongestFirst``. Its collator must leave out columns that the model does not take.

    Args:
        measure: takes outputs in the order of the rows of ``eval_dataset``, and returns metrics by name.
        taught_loss: what is minimised where rows hold what a teacher said of them.
    """

    def __init__(
        self,
        *,
        measure: Callable[[Any], dict[str, float]] | None = None,
        taught_loss: TaughtLoss | None = None,
        eval_dataset: Any = None,
        **options: Any,
    ) -> None:
        self._taught_loss = taught_loss
        if eval_dataset is not None:
            self._eval_order = LongestFirst(lengths_of(eval_dataset))
        if measure is not None:
            options["compute_metrics"] = lambda output: measure(self._restored(output.predictions))
        super().__init__(eval_dataset=eval_dataset, **options)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Returns the task's loss, or the mixture with the teacher's where the batch holds what it said."""
        of_teacher = {name: values for name, values in inputs.items() if name.startswith(OF_TEACHER)}
        own = {name: values for name, values in inputs.items() if name not in of_teacher}
        loss, outputs = super().compute_loss(model, own, return_outputs=True, num_items_in_batch=num_items_in_batch)
        if of_teacher:
            assert self._taught_loss is not None
            said = {name.removeprefix(OF_TEACHER): values for name, values in of_teacher.items()}
            loss = self._taught_loss(loss, outputs, own, said)
        return (loss, outputs) if return_outputs else loss

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Makes the batches of an epoch for this process, anew in each call."""
        args, rows = self.args, self.train_dataset
        order = EpochOrder(
            len(rows),
            batch_size=args.train_batch_size,
            seed=args.seed,
            lengths=lengths_of(rows) if args.train_sampling_strategy == "group_by_length" else None,
            num_processes=args.world_size,
        )
        seed = functools.partial(seed_worker, num_workers=args.dataloader_num_workers, rank=args.process_index)
        return self._loader(rows, order, args.train_batch_size, worker_init_fn=seed)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Returns the batches of the rows of ``eval_dataset``, the same loader in each call."""
        assert eval_dataset is None or eval_dataset is self.eval_dataset, "its own rows alone are in a known order"
        return self._eval_loader

    @functools.cached_property
    def _eval_loader(self) -> DataLoader[Any]:
        return self._loader(self.eval_dataset, self._eval_order, self.args.eval_batch_size)

    def _loader(self, rows: Any, order: Sampler[int], batch_size: int, **options: Any) -> DataLoader[Any]:
        loader = DataLoader(
            rows,
            batch_size=batch_size,
            sampler=order,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            persistent_workers=self.args.dataloader_persistent_workers,
            **options,
        )
        return cast(DataLoader[Any], self.accelerator.prepare(loader))

    def _restored(self, predictions: Any) -> Any:
        if isinstance(predictions, tuple):
            return tuple(map(self._eval_order.restored, predictions))
        return self._eval_order.restored(predictions)


def lengths_of(rows: hf_datasets.Dataset) -> Lengths:
    """Counts the tokens of each row, ``(N,)``, without reading them."""
    ids = rows.with_format("arrow").select_columns(["input_ids"])[:]["input_ids"]
    return np.asarray(pyarrow.compute.list_value_length(ids), dtype=np.int64)
