"""How fast a model is, measured on this machine."""

import statistics
import time

import torch
from torch import nn

_BATCH, _WARM_UPS, _RUNS = 8, 2, 9


def latency_ms(model: nn.Module, vocab_size: int, *, length: int) -> float:
    """Median milliseconds of a forward pass over 8 texts of ``length`` tokens, with the threads torch has."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(0, vocab_size, (_BATCH, length), generator=generator).to(device)
    times = []
    with torch.no_grad():
        for _ in range(_WARM_UPS + _RUNS):
            start = time.perf_counter()
            model(input_ids=input_ids, attention_mask=torch.ones_like(input_ids))
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(1000 * (time.perf_counter() - start))
    model.train(was_training)
    return round(statistics.median(times[_WARM_UPS:]), 3)
