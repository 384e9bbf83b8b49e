"""How far two models of one head are apart, whatever their families."""

from typing import Any

import torch

from . import copying


def largest_difference(a: Any, b: Any, seed: int = 0) -> float:
    """Largest absolute difference of any output of two models of one head, in evaluation mode.

    Compared on a random batch with padding on the right, and with segments where both models have several: all hidden
    states at real positions, the pooled state, and what the head gives.
    """
    configs = a.config, b.config
    generator = torch.Generator().manual_seed(seed)
    length = min(32, *(config.max_position_embeddings for config in configs))
    shape = (3, 2, length) if "MultipleChoice" in type(a).__name__ else (3, length)
    pad = configs[0].pad_token_id or 0
    ids = (torch.randint(1, configs[0].vocab_size, shape, generator=generator) + pad) % configs[0].vocab_size
    mask = torch.ones_like(ids)
    mask[1, ..., length // 2 :] = 0
    inputs = {"input_ids": ids.masked_fill(mask == 0, pad), "attention_mask": mask}
    num_segments = min(getattr(config, "type_vocab_size", 1) for config in configs)
    if num_segments > 1:
        inputs["token_type_ids"] = torch.randint(num_segments, shape, generator=generator)
    first, second = copying.evaluated((a, b), inputs)
    is_real = mask.bool()
    differences = [
        (x - y).flatten(0, -2)[is_real.flatten()].abs().max()
        for x, y in zip(first.pop("hidden_states"), second.pop("hidden_states"), strict=True)
    ]
    for name, x in first.items():
        difference = (x - second[name]).abs()
        differences.append(difference[is_real].max() if difference.shape[:2] == mask.shape else difference.max())
    return float(torch.stack(differences).max())
