"""The measured time of one forward pass of an architecture on this machine."""

import copy
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from design_space import ModelSpec

from ..model.configuration_flexibert import FlexiBERTConfig
from ..model.heads import FlexiBERTForMultipleChoice
from ..model.modeling_flexibert import FlexiBERTModel
from .onnx_model import OnnxModel
from .runner import check_runtime, described, runner

WARM_UPS, CONFIDENCE = 2, 0.95
_CONDITION = ("batch_size", "length", "threads", "device", "started")


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
        p95_ms: what 95 of 100 passes take at most.
        load: processes that wanted to run in the minute before, where the system tells.
        started: when this was measured, in seconds since the epoch, the same for what was measured in turn.
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
    p95_ms: float | None = None
    load: float | None = None
    started: float | None = None

    def times_as_fast_as(self, other: "Latency") -> float:
        """How much faster it is than another one, which may be of another model or another runtime.

        Raises:
            ValueError: when the two were not measured in turn, under one condition.
        """
        different = [name for name in _CONDITION if getattr(self, name) != getattr(other, name)]
        if different or self.started is None:
            told = [f"{name} {getattr(self, name)} and {getattr(other, name)}" for name in different or ["started"]]
            raise ValueError(
                f"Only times that were measured in turn can be compared (measure_in_turn): {'; '.join(told)}"
            )
        return other.median_ms / self.median_ms

    def __str__(self) -> str:
        return (
            f"{self.median_ms:.2f} ms ({self.low_ms:.2f} to {self.high_ms:.2f}) for {self.batch_size} x {self.length} "
            f"tokens in {described(self.runtime, self.device, self.threads)}"
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
    models: Sequence[nn.Module | OnnxModel],
    *,
    batch_size: int = 8,
    length: int = 128,
    threads: int | None = None,
    repeats: int = 30,
    runtime: str = "torch",
) -> list[Latency]:
    """Times several models under one condition, a pass of each after the other, so that what slows the machine down for
    a while slows all of them: the figures can be compared. Arguments and errors are those of ``measure_latency``; an
    ONNX file, whose runtime is called ``onnx``, reads what the model before it does."""
    sizes = {"batch_size": batch_size, "length": length, "repeats": repeats, "threads": threads}
    for name, value in sizes.items():
        if value is not None and (not isinstance(value, Integral) or value < 1):
            raise ValueError(f"'{name}' must be a whole number above 0. Got {value!r}")
    check_runtime(runtime)
    built = [model for model in models if not isinstance(model, OnnxModel)]
    for text_model in built:
        _check_model(text_model, length)
    threads_before, were_training = torch.get_num_threads(), [model.training for model in built]
    torch.set_num_threads(threads_before if threads is None else threads)
    try:
        used, started, load = torch.get_num_threads(), time.time(), _load()
        runs: list[_Run] = []
        for model in models:
            if isinstance(model, OnnxModel):
                runs.append(_Run(model, runs[-1].inputs, "onnx"))
                if model.threads != used:
                    raise ValueError(f"'threads' must be those of each ONNX file. Got {used} and {model.threads}")
            else:
                inputs = _random_texts(model, batch_size, length, runtime)
                runs.append(_Run(runner(model.eval(), runtime, threads=used), inputs, runtime))
        times = _times_in_turn(runs, repeats=repeats)
    finally:
        torch.set_num_threads(threads_before)
        for text_model, was_training in zip(built, were_training, strict=True):
            text_model.train(was_training)
    return [
        Latency(
            statistics.median(ms),
            *_interval(ms),
            batch_size,
            length,
            used,
            run.inputs["input_ids"].device.type,
            repeats,
            run.runtime,
            p95_ms=float(np.quantile(ms, 0.95)),
            load=load,
            started=started,
        )
        for ms, run in zip(times, runs, strict=True)
    ]


def forward_times_ms(
    model: nn.Module, inputs: Mapping[str, torch.Tensor], *, repeats: int, warm_ups: int = WARM_UPS
) -> list[float]:
    """Times forward passes in milliseconds, in evaluation mode and without gradients, after some untimed ones; the
    model's mode is restored."""
    was_training = model.training
    try:
        run = _Run(runner(model.eval(), "torch"), inputs, "torch")
        return _times_in_turn([run], repeats=repeats, warm_ups=warm_ups)[0]
    finally:
        model.train(was_training)


class _Run(NamedTuple):
    """What takes inputs and runs a model, and its inputs."""

    call: Callable[[Mapping[str, torch.Tensor]], object]
    inputs: Mapping[str, torch.Tensor]
    runtime: str


@torch.no_grad()
def _times_in_turn(runs: Sequence[_Run], *, repeats: int, warm_ups: int = WARM_UPS) -> list[list[float]]:
    """Milliseconds of each run's passes: a pass of each after the other, the first ones after untimed ones."""
    times: list[list[float]] = [[] for _ in runs]
    for number in range(repeats):
        for run, of_run in zip(runs, times, strict=True):
            for _ in range(0 if number else warm_ups):
                _time_ms(run)
            of_run.append(_time_ms(run))
    return times


def _time_ms(run: _Run) -> float:
    start = time.perf_counter()
    run.call(run.inputs)
    if any(tensor.is_cuda for tensor in run.inputs.values()):
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def _check_model(model: Any, length: int) -> None:
    if not hasattr(getattr(model, "config", None), "vocab_size"):
        raise ValueError(f"'architecture' must be a model of text, with a 'vocab_size'. Got {type(model).__name__}")
    longest = getattr(model.config, "max_position_embeddings", length)
    if length > longest:
        raise ValueError(f"'length' must be at most that of the model's longest sequence, {longest}. Got {length}")


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _random_texts(model: Any, batch_size: int, length: int, runtime: str) -> dict[str, torch.Tensor]:
    shape = (batch_size, 1, length) if isinstance(model, FlexiBERTForMultipleChoice) else (batch_size, length)
    ids = torch.randint(model.config.vocab_size, shape, generator=torch.Generator().manual_seed(0))
    if runtime.startswith("torch"):
        ids = ids.to(model.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


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
