"""The measured time of one forward pass of an architecture on this machine."""

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import torch
from torch import nn

from design_space import ModelSpec

from ..model.configuration_flexibert import FlexiBERTConfig
from ..model.modeling_flexibert import FlexiBERTModel
from .runner import check_runtime, runner

WARM_UPS, CONFIDENCE = 2, 0.95


class Latency(NamedTuple):
    """Times of a forward pass, and how it was measured.

    Attributes:
        median_ms, low_ms, high_ms: the median, and its 95 % confidence interval, in milliseconds; the interval's ends
            are two of the measured times, whatever their distribution (order statistics).
        batch_size, length: sequences in the batch, and tokens of each.
        threads: of torch, on a CPU.
        device: for example ``cpu``.
        repeats: number of timed passes.
        runtime: what ran the model (``runtimes.runner``).
    """

    median_ms: float
    low_ms: float
    high_ms: float
    batch_size: int
    length: int
    threads: int
    device: str
    repeats: int
    runtime: str = "torch"

    def __str__(self) -> str:
        place = self.device if self.runtime == "torch" else f"{self.device} in {self.runtime}"
        return (
            f"{self.median_ms:.2f} ms ({self.low_ms:.2f} to {self.high_ms:.2f}) for {self.batch_size} x {self.length} "
            f"tokens on {place} with {self.threads} thread(s)"
        )


def measure_latency(
    architecture: ModelSpec | nn.Module,
    config: Any = None,
    *,
    batch_size: int = 8,
    length: int = 128,
    threads: int | None = None,
    repeats: int = 30,
    runtime: str = "torch",
) -> Latency:
    """Times forward passes over full sequences of random tokens, without gradients.

    Args:
        architecture: a spec, built with random weights for the purpose, or a model that takes ``input_ids`` and
            ``attention_mask``, measured on its device; its mode is restored.
        config: a ``FlexiBERTConfig`` for what a spec leaves open (vocabulary, positions); default: its defaults.
        batch_size: sequences in a batch.
        length: tokens of a sequence.
        threads: of torch; default: as many as torch uses now.
        repeats: timed passes, after two untimed ones.
        runtime: what runs the model: torch, torch-compile, onnx or onnx-int8.

    Raises:
        ValueError: for something else, such as a model or configuration of images, when a size is no whole number
            above 0, ``length`` is above ``max_position_embeddings``, or the runtime is unknown or not installed.
    """
    if not isinstance(architecture, ModelSpec | nn.Module):
        raise ValueError(f"'architecture' must be a ModelSpec or a model. Got {type(architecture).__name__}")
    model = _built(architecture, config) if isinstance(architecture, ModelSpec) else architecture
    sizes = {"batch_size": batch_size, "length": length, "threads": threads, "repeats": repeats}
    return measure_in_turn([model], runtime=runtime, **sizes)[0]  # type: ignore[arg-type]


def measure_in_turn(
    models: Sequence[nn.Module],
    *,
    batch_size: int = 8,
    length: int = 128,
    threads: int | None = None,
    repeats: int = 30,
    runtime: str = "torch",
) -> list[Latency]:
    """Times several models under one condition, a pass of each after the other, so that what slows the machine down for
    a while slows all of them: the figures can be compared. Arguments and errors are those of ``measure_latency``."""
    sizes = {"batch_size": batch_size, "length": length, "repeats": repeats, "threads": threads}
    for name, value in sizes.items():
        if value is not None and (not isinstance(value, Integral) or value < 1):
            raise ValueError(f"'{name}' must be a whole number above 0. Got {value!r}")
    check_runtime(runtime)
    for model in models:
        if not hasattr(getattr(model, "config", None), "vocab_size"):
            raise ValueError(f"'architecture' must be a model of text, with a 'vocab_size'. Got {type(model).__name__}")
        longest = getattr(model.config, "max_position_embeddings", length)
        if length > longest:
            raise ValueError(f"'length' must be at most that of the model's longest sequence, {longest}. Got {length}")
    threads_before, were_training = torch.get_num_threads(), [model.training for model in models]
    torch.set_num_threads(threads_before if threads is None else threads)
    times: list[list[float]] = [[] for _ in models]
    try:
        used = torch.get_num_threads()
        runs = [runner(model.eval(), runtime, threads=used) for model in models]
        inputs = [_random_texts(model, batch_size, length, runtime) for model in models]
        for number in range(repeats):
            for run, of_model, given in zip(runs, times, inputs, strict=True):
                of_model += _times_ms(run, given, repeats=1, warm_ups=0 if number else WARM_UPS)
    finally:
        torch.set_num_threads(threads_before)
        for model, was_training in zip(models, were_training, strict=True):
            model.train(was_training)
    devices = [given["input_ids"].device.type for given in inputs]
    return [
        Latency(statistics.median(ms), *_interval(ms), batch_size, length, used, device, repeats, runtime)
        for ms, device in zip(times, devices, strict=True)
    ]


def forward_times_ms(
    model: nn.Module, inputs: Mapping[str, torch.Tensor], *, repeats: int, warm_ups: int = WARM_UPS
) -> list[float]:
    """Times forward passes in milliseconds, in evaluation mode and without gradients, after some untimed ones; the
    model's mode is restored."""
    was_training = model.training
    try:
        return _times_ms(runner(model.eval(), "torch"), inputs, repeats=repeats, warm_ups=warm_ups)
    finally:
        model.train(was_training)


@torch.no_grad()
def _times_ms(
    run: Callable[[Mapping[str, torch.Tensor]], object],
    inputs: Mapping[str, torch.Tensor],
    *,
    repeats: int,
    warm_ups: int,
) -> list[float]:
    times, is_on_gpu = [], any(tensor.is_cuda for tensor in inputs.values())
    for _ in range(warm_ups + repeats):
        start = time.perf_counter()
        run(inputs)
        if is_on_gpu:
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return times[warm_ups:]


def _random_texts(model: Any, batch_size: int, length: int, runtime: str) -> dict[str, torch.Tensor]:
    ids = torch.randint(model.config.vocab_size, (batch_size, length), generator=torch.Generator().manual_seed(0))
    if runtime.startswith("torch"):
        ids = ids.to(model.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}


def _built(spec: ModelSpec, config: Any) -> FlexiBERTModel:
    of_spec = FlexiBERTConfig() if config is None else copy.deepcopy(config)
    if not isinstance(of_spec, FlexiBERTConfig):
        raise ValueError(f"'config' must be a FlexiBERTConfig. Got {type(config).__name__}")
    of_spec.model_dict = spec.to_dict()
    return FlexiBERTModel(of_spec)


def _interval(times: list[float]) -> tuple[float, float]:
    """The order statistics between which the median lies with at least 95 % probability."""
    from scipy.stats import binom  # here, since it takes a third of a second

    ordered = sorted(times)
    below = int(binom.ppf((1 - CONFIDENCE) / 2, len(ordered), 0.5))
    place = max(below - 1, 0)
    return ordered[place], ordered[len(ordered) - 1 - place]
