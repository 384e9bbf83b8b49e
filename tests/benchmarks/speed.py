"""Time of FlexiBERT models relative to Hugging Face's BERT-mini, forward and forward + backward, 1 and 2 threads.

All models take turns in one run; the figure is the ratio of the first quartiles of their times to those of BERT-mini
with the faster of ``sdpa`` and ``eager``. ``products`` is the ratio to the model's own matrix products alone (shapes
recorded in one pass, repeated without anything else), a floor that no implementation with these products beats.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import BertConfig, BertModel

from flexibert import FlexiBERTConfig, FlexiBERTModel

ROUNDS, BATCH, LENGTH = 25, 8, 128
MINI = {"l": 4, "o": ["sa"] * 4, "h": [256] * 4, "n": [4] * 4, "f": [[1024]] * 4, "p": ["sdp"] * 4}
README = {
    "l": 4,
    "o": ["sa", "sa", "l", "l"],
    "h": [256, 256, 128, 128],
    "n": [2, 2, 4, 4],
    "f": [[512, 512, 512], [512, 512, 512], [1024], [1024]],
    "p": ["sdp", "sdp", "dct", "dct"],
}
HEADS = ["sa_sdp_64", "sa_wma_64", "l_dft_64", "c_9_64"]
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "absolute": (MINI, {"position_embedding_type": "absolute"}),
    "relative_key": (MINI, {}),
    "readme_mini": (README, {}),
    "convolution": (MINI | {"o": ["c"] * 4, "p": [9] * 4}, {}),
    "hetero": ({"l": 4, "o": [HEADS] * 4, "h": [256] * 4, "f": [[1024]] * 4}, {}),
}
PRODUCTS = {
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten.baddbmm.default,
    torch.ops.aten.baddbmm_.default,
}


class RecordProducts(TorchDispatchMode):
    """Keeps the operands of every matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable, tuple, dict]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        if func in PRODUCTS:
            operands = tuple(x.detach() if isinstance(x, torch.Tensor) else x for x in args)
            self.calls.append((func, operands, kwargs or {}))
        return func(*args, **(kwargs or {}))


def forward(model: torch.nn.Module, ids: torch.Tensor) -> None:
    with torch.no_grad():
        model(ids, attention_mask=torch.ones_like(ids))


def backward(model: torch.nn.Module, ids: torch.Tensor) -> None:
    model.zero_grad(set_to_none=True)
    model(ids, attention_mask=torch.ones_like(ids))[0].pow(2).mean().backward()


def products_only(step: Callable, model: torch.nn.Module, ids: torch.Tensor) -> Callable[[], None]:
    """Repeats the matrix products of a step. With absolute positions attention is computed eagerly, so that its
    products are seen; with relative ones they are seen as they are."""
    is_fused = model.config.position_embedding_type == "absolute"  # type: ignore[union-attr]
    model.set_attn_implementation("eager" if is_fused else "sdpa")  # type: ignore[operator]
    with RecordProducts() as recorded:
        step(model, ids)
    model.set_attn_implementation("sdpa")  # type: ignore[operator]

    def repeat() -> None:
        with torch.no_grad():
            for product, operands, options in recorded.calls:
                product(*operands, **options)

    return repeat


def main() -> None:
    """Print the figures."""
    ids = torch.randint(5, 30000, (BATCH, LENGTH))
    mini = BertConfig(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    models: dict[str, Any] = {f"BERT {name}": BertModel(mini).eval() for name in ("sdpa", "eager")}
    for name in ("sdpa", "eager"):
        models[f"BERT {name}"].set_attn_implementation(name)
    for name, (model_dict, options) in MODELS.items():
        models[name] = FlexiBERTModel(FlexiBERTConfig(model_dict=model_dict, **options)).eval()
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for step in (forward, backward):
            runs: dict[str, Callable[[], None]] = {}
            for name, model in models.items():
                runs[name] = lambda step=step, model=model: step(model, ids)  # type: ignore[misc]
                if name in MODELS:
                    runs[f"{name} products"] = products_only(step, model, ids)
            times: dict[str, list[float]] = {name: [] for name in runs}
            for _ in range(ROUNDS):
                for name, run in runs.items():
                    start = time.perf_counter()
                    run()
                    times[name].append(time.perf_counter() - start)
            quartile = {name: float(np.quantile(of[2:], 0.25)) for name, of in times.items()}
            base = min(quartile["BERT sdpa"], quartile["BERT eager"])
            print(f"{threads} thread(s), {step.__name__}: BERT-mini {1000 * base:.0f} ms")
            for name in MODELS:
                own, floor = quartile[name], quartile[f"{name} products"]
                print(f"  {name:13} {own / base:.2f} of BERT-mini, {own / floor:.2f} of its products", flush=True)
    torch.set_num_threads(before)


if __name__ == "__main__":
    main()
