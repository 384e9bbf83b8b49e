"""Modules whose parameters may be read instead of calling them.

One product for several maps reads their weights. Where somebody has put something in a module's place (an adapter, a
quantised map) or around it (a mask, weights that are elsewhere until the call), the module is called.
"""

import torch
from torch import Tensor, nn

PLAIN = (nn.Linear, nn.Conv1d, nn.Embedding)


def is_plain(module: nn.Module) -> bool:
    """Whether a module is its weights alone: neither adapted (LoRA), quantised, masked, sharded, offloaded nor
    watched."""
    return type(module) in PLAIN and type(module.weight) in (Tensor, nn.Parameter) and not is_watched(module)


def is_watched(module: nn.Module) -> bool:
    """Whether somebody reads or replaces what the module computes, or its gradient."""
    own = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(own) or "forward" in module.__dict__


def rows_of(table: nn.Embedding, number: int, like: Tensor) -> Tensor:
    """The first ``number`` rows of a table of vectors, on the device of ``like``."""
    if is_plain(table):
        return table.weight[:number]
    return table(like.new_ones(number, dtype=torch.long).cumsum(0) - 1)
