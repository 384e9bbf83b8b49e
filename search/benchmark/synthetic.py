"""Objectives that are known functions of the architecture, with what makes trained networks hard to predict.

All but costs are sums of returns that diminish with size, of effects of each layer's parts (random numbers by name, so
that a space of any size has them without being listed) and of what neighboring layers do together, in standard
deviations over the space. On top comes what a kind is named after:

- ``smooth``: nothing. ``interactions``: most comes from pairs of layers, and of width, depth and last operation.
- ``outliers``: each architecture has a surprise of its own, seldom large (Student's t). ``plateaus``: only whole steps.
- ``heteroscedastic``: the noise of a measurement grows as architectures get smaller, from 0.05 to 0.4.
- ``latency``, ``energy``: costs, so that larger is worse, by the factor that they span; noise in proportion.

Nothing here is fitted to, or made from, measurements.
"""

import itertools
import math
import zlib
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np

from design_space import Layer, Level, ModelSpec

KINDS = ("smooth", "interactions", "outliers", "plateaus", "heteroscedastic", "latency", "energy")

_SAMPLE = 300
_STEP = 0.5
_NOISE = 0.05
_OF_COSTS = 0.02


class Objective:
    """One objective over a space; higher is better, so costs are negative.

    Args:
        kind: one of ``KINDS``.
        seed: of its random numbers.
    """

    def __init__(self, kind: str, level: Level, seed: int) -> None:
        assert kind in KINDS
        self.kind, self.level, self.seed = kind, level, seed

    def truth(self, spec: ModelSpec) -> float:
        """Without noise."""
        if self.kind in ("latency", "energy"):
            return -self._cost(spec)
        mean, deviation = self._moments
        value = (self._raw(spec) - mean) / deviation
        if self.kind == "outliers":
            value += 0.25 * float(self._own(spec, 0).standard_t(2))
        return math.floor(value / _STEP) * _STEP if self.kind == "plateaus" else value

    def measured(self, spec: ModelSpec, seed: int) -> float:
        """With the noise of one measurement, which ``seed`` and the architecture determine."""
        truth, noise = self.truth(spec), float(self._own(spec, 1 + seed).standard_normal())
        if self.kind in ("latency", "energy"):
            return truth * math.exp(_OF_COSTS * noise)
        if self.kind == "plateaus":
            return truth
        small = 1 - self._size(spec) if self.kind == "heteroscedastic" else 0.0
        return truth + (_NOISE + 0.35 * small) * noise

    def optimum(self) -> float:
        """The best truth that long evolutions find, from some starts."""
        best = -math.inf
        for seed in range(3):
            rng = np.random.default_rng([self.seed, seed])
            population = sorted(((self.truth(spec), spec) for spec in self.level.sample(50, seed=seed)), key=_value)
            known = {spec for _, spec in population}
            for _ in range(2500):
                child = self.level.mutated(population[max(rng.integers(50, size=3))][1], rng)
                value = self.truth(child)
                if child not in known and value > population[0][0]:
                    known.add(child)
                    population[0] = (value, child)
                    population.sort(key=_value)
            best = max(best, population[-1][0])
        return best

    @cached_property
    def sample(self) -> list[ModelSpec]:
        """Some members of the space."""
        return self.level.sample(min(_SAMPLE, self.level.size), seed=self.seed)

    @cached_property
    def _moments(self) -> tuple[float, float]:
        values = [self._raw(spec) for spec in self.sample]
        return float(np.mean(values)), float(np.std(values))

    @cached_property
    def _sizes(self) -> tuple[float, float]:
        sizes = [_log_size(spec.layers) for spec in self.sample]
        return min(sizes), max(sizes)

    def _size(self, spec: ModelSpec) -> float:
        least, most = self._sizes
        return min(1.0, max(0.0, (_log_size(spec.layers) - least) / (most - least)))

    def _raw(self, spec: ModelSpec) -> float:
        layers, size = spec.layers, self._size(spec)
        thirds = [3 * place // len(layers) for place in range(len(layers))]
        parts = [
            _effect(self.seed, "operation", _operation(layer), third)
            + 0.5 * _effect(self.seed, "feed_forward", layer.feed_forward)
            + 0.5 * _effect(self.seed, "heads", len(layer.heads), layer.hidden_size)
            for layer, third in zip(layers, thirds, strict=True)
        ]
        pairs = [_effect(self.seed, "pair", _operation(a), _operation(b)) for a, b in itertools.pairwise(layers)]
        whole = _effect(self.seed, "whole", layers[0].hidden_size, len(layers), _operation(layers[-1]))
        alone, together = (0.3, 1.0) if self.kind == "interactions" else (1.0, 0.3)
        scale = math.sqrt(len(layers))
        return alone * (4 * size - 2 * size**2 + scale * _mean(parts)) + together * (scale * _mean(pairs) + whole)

    def _cost(self, spec: ModelSpec) -> float:
        layers = spec.layers
        least = math.exp(self._sizes[0])
        total = sum(
            math.exp(0.4 * _effect(self.seed, "rate", _operation(layer)))
            * (0.1 + (math.exp(_log_size([layer])) / least) ** 0.8)
            for layer in layers
        )
        return total * (1.0 + 0.5 * (self._size(spec) > 0.6)) if self.kind == "energy" else total

    def _own(self, spec: ModelSpec, number: int) -> np.random.Generator:
        """Random numbers of one architecture."""
        return np.random.default_rng([self.seed, number, int(spec.hash[:8], 16)])


@lru_cache(100_000)
def _effect(seed: int, *names: object) -> float:
    """A normally distributed number that belongs to these names."""
    return float(np.random.default_rng([seed, zlib.crc32(repr(names).encode())]).standard_normal())


def _operation(layer: Layer) -> str:
    return ",".join(sorted({f"{head.operation}_{head.parameter}" for head in layer.heads}))


def _log_size(layers: Sequence[Layer]) -> float:
    """Logarithm of about the number of weights."""
    return math.log(sum(layer.hidden_size * (4 * layer.hidden_size + 2 * sum(layer.feed_forward)) for layer in layers))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def _value(pair: tuple[float, ModelSpec]) -> float:
    return pair[0]
