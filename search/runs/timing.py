"""How long the parts of an encoder take on this machine: predicted for all, and timed again for those that matter."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from design_space import ModelSpec, Subarchitectures
from design_space.files import read_json, write_atomically
from design_space.schemas import SHAPE, checked
from flexibert import FlexiBERTConfig, FlexiBERTModel, LatencyModel, fit_latency_model, measure_in_turn

from ..tune.runner import LevelRun
from ..tune.screening import Limits

LATENCY = "latency_ms"

MARGIN = 0.97
"""Share of a limit on time that predictions must keep: they may be wrong by a little."""

MARGIN_AGAIN = 0.97
"""Share of a limit that was made smaller, which what is measured must keep: it is wrong by a little, too."""

_MEASURED, _REPEATS = 24, 15
"""Architectures by whose times the latency of all is predicted, and how often each is timed."""

_REPEATS_AGAIN = 45
"""How often each of a few is timed that a limit depends on."""

_TIMED_AGAIN = 8
"""The best of the children screened for a limit on time that are timed before any is trained."""

_VOCABULARY = 1000  # word vectors take room, and no time
_FILE = "latency.json"


class _Fitted(TypedDict):
    __pydantic_config__ = SHAPE  # type: ignore[misc]
    shares: list[float]
    length: int
    error: float


_FITTED = TypeAdapter(_Fitted)


def timed(run: LevelRun, length: int) -> LevelRun:
    """The run with ``latency_ms`` that of one text of so many tokens on one thread, predicted for all architectures."""
    run = replace(run, timing={**run.timing, "batch_size": 1, "length": length, "threads": 1})
    return replace(run, latency=_latency_model(run))


def tightened(run: LevelRun, specs: Sequence[ModelSpec], limits: Sequence[Limits]) -> list[Limits]:
    """The limits for which each architecture was made, with a limit on time made smaller for one that is too slow when
    it is timed beside the encoder: by as many milliseconds as it takes too long. Predictions err alike for
    architectures that are alike."""
    places = [place for place, limit in enumerate(limits) if LATENCY in limit]
    found = list(limits)
    for place, share in zip(places, _shares(run, [specs[place] for place in places]), strict=True):
        too_long_ms = (share - MARGIN_AGAIN * _allowed(run, limits[place])) * _reference_ms(run)
        found[place] = {**limits[place], LATENCY: limits[place][LATENCY] - max(0.0, too_long_ms)}
    return found


def fast_enough(run: LevelRun, specs: Sequence[ModelSpec], limits: Limits) -> Sequence[ModelSpec]:
    """Those of the first few of some architectures that keep a limit on time when they are timed beside the encoder;
    where none does, the fastest."""
    if LATENCY not in limits:
        return specs
    shares = _shares(run, specs[:_TIMED_AGAIN])
    fast = [spec for spec, share in zip(specs, shares, strict=False) if share <= _allowed(run, limits)]
    return fast or [specs[int(np.argmin(shares))]]


def _shares(run: LevelRun, specs: Sequence[ModelSpec]) -> list[float]:
    """How long architectures take, as shares of the encoder's time, which is measured in turn with theirs."""
    if not specs:
        return []
    assert run.roots is not None
    whole, *times = _times_ms(run, [run.roots.reference, *specs], _REPEATS_AGAIN)
    return [time_ms / whole for time_ms in times]


def _allowed(run: LevelRun, limits: Limits) -> float:
    """The share of the encoder's time that a limit leaves."""
    return limits[LATENCY] / MARGIN / _reference_ms(run)


def _reference_ms(run: LevelRun) -> float:
    """What is predicted for the encoder."""
    assert run.roots is not None
    assert run.latency is not None
    return float(run.latency([run.roots.reference])[0])


def _latency_model(run: LevelRun) -> LatencyModel:
    """Fitted to this machine and kept: a run that goes on has the same limits."""
    assert run.roots is not None
    file = run.directory.path / _FILE
    if not file.exists():
        root = run.roots.reference
        space = Subarchitectures(root)
        specs = [root, *space.stream(seed=run.seed, limit=min(_MEASURED, space.size))]
        model = fit_latency_model(specs, _times_ms(run, specs, _REPEATS), length=run.timing["length"])
        content = {"shares": model.shares.tolist(), "length": model.length, "error": model.error}
        write_atomically(file, json.dumps(content, indent=2))
    found = checked(_FITTED, read_json(file), file)
    return LatencyModel(np.array(found["shares"]), length=found["length"], error=found["error"])


def _times_ms(run: LevelRun, specs: Sequence[ModelSpec], repeats: int) -> list[float]:
    """How long architectures take, in turn."""
    options = {**run.network, "vocab_size": _VOCABULARY, "pad_token_id": 0}
    models = [FlexiBERTModel(FlexiBERTConfig(model_dict=spec.to_dict(), **options)) for spec in specs]
    return [speed.median_ms for speed in measure_in_turn(models, **run.timing, repeats=repeats)]
