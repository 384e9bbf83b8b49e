"""Masked-LM loss of models on a text, with the same tokens hidden from each of them.

Shapes: B batch, S sequence.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from design_space.files import read_text

IGNORED = -100
HIDDEN = 0.15  # share of the tokens


def text_blocks(path: Path, tokenizer: PreTrainedTokenizerBase, length: int) -> Tensor:
    """The text of a file as blocks of ``length`` token ids (N, S); the rest at the end is left out.

    Args:
        length: of a block, with ``[CLS]`` and ``[SEP]`` where the tokenizer has them.

    Raises:
        ValueError: when the text has no whole block, or is none.
    """
    first, last = ([] if each is None else [each] for each in (tokenizer.cls_token_id, tokenizer.sep_token_id))
    per_block = length - len(first) - len(last)
    if per_block < 1:
        raise ValueError(f"Blocks must be longer than their {len(first) + len(last)} special tokens. Got {length}")
    ids: list[int] = []
    for line in io.StringIO(read_text(path, "a text file"), newline=None):
        ids += tokenizer(line, add_special_tokens=False, verbose=False)["input_ids"]
    count = len(ids) // per_block
    if not count:
        raise ValueError(f"{path}: must hold {per_block} tokens or more. Got {len(ids)}")
    return torch.tensor([[*first, *ids[i * per_block : (i + 1) * per_block], *last] for i in range(count)])


def hide_tokens(ids_BS: Tensor, mask_id: int, special_ids: Sequence[int], *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Ids with a share of the tokens replaced by the mask, and labels: the hidden ids, -100 elsewhere; both (B, S)."""
    drawn = torch.rand(ids_BS.shape, generator=torch.Generator().manual_seed(seed))
    is_hidden = (drawn < HIDDEN) & ~torch.isin(ids_BS, torch.tensor(list(special_ids), dtype=ids_BS.dtype))
    return ids_BS.masked_fill(is_hidden, mask_id), ids_BS.masked_fill(~is_hidden, IGNORED)


@torch.no_grad()
def masked_lm_loss(
    model: Any, inputs_NS: Tensor, labels_NS: Tensor, *, batch_size: int = 32, progress: str | None = None
) -> float:
    """Mean cross-entropy over the hidden tokens, in evaluation mode.

    Args:
        model: of masked LM, alone or beside next-sentence prediction.
        progress: name of a progress bar; default: none is shown.

    Raises:
        ValueError: when no token is hidden.
    """
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    starts = range(0, len(inputs_NS), batch_size)
    for start in logging.tqdm(starts, desc=progress, disable=progress is None, leave=False):
        batch, labels = (each[start : start + batch_size].to(model.device) for each in (inputs_NS, labels_NS))
        logits = model(batch)[0].float()
        total += float(functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum"))
        count += int((labels != IGNORED).sum())
    model.train(was_training)
    if not count:
        raise ValueError(f"No token of {inputs_NS.numel()} is hidden; take more or longer blocks")
    return total / count
