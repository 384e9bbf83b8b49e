"""Training in several processes, as ``torchrun`` and ``accelerate launch`` start them; in one process nothing happens
here.

Every process runs the whole program; the first alone writes files and speaks. Batches are shared out by the trainer,
gradients averaged: a step of ``n`` processes sees ``n`` times ``batch_size`` texts.
"""

import contextlib
import datetime
import os
from collections.abc import Iterator

import torch
from accelerate import PartialState
from torch import distributed

_PATIENCE = datetime.timedelta(days=1)  # for the first process to prepare the data


def num_processes() -> int:
    """Returns how many processes run this program together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Says whether this process is the one that writes."""
    return num_processes() == 1 or int(os.environ.get("RANK", "0")) == 0


def wait_for_all() -> None:
    """Goes on when every process has come here."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Joins the other processes, and leaves them together."""
    if num_processes() > 1:
        PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
    try:
        yield
        wait_for_all()
    finally:
        if num_processes() > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


@contextlib.contextmanager
def first_process_first() -> Iterator[None]:
    """Lets the first process do what is inside, and the others when it is done."""
    if not is_first():
        wait_for_all()
    yield
    if is_first():
        wait_for_all()
