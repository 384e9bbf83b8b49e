"""Where candidates come from, and their vectors: all of a library, a space too large to list (``space_pool``), or both
(``joint_pool``).

A vector is the embedding (of a library), exact features, layer-wise categories and exact objectives of an architecture
(see ``surrogates.Layout``), numbers standardised over the pool. What breaks an exact limit is no candidate.
Shapes: N architectures, K columns, E exact objectives.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from design_space import ModelSpec
from embeddings import GraphLibrary

from ..objectives import Goals
from ..surrogates import Layout
from .features import PLACES, features, layer_codes

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """Architectures that may be proposed, with their vectors (N, K)."""

    specs: Sequence[ModelSpec]
    vectors: Tensor

    def __len__(self) -> int:
        return len(self.specs)


class Pool(ABC):
    """Architectures to choose from."""

    layout: Layout
    goals: Goals
    reference: Tensor
    """Vectors (M, K) that stand for the pool."""

    @abstractmethod
    def vectors(self, specs: Sequence[ModelSpec]) -> Tensor:
        """(N, K), of any architectures."""

    @abstractmethod
    def candidates(
        self, evaluated: Collection[str], incumbents: Sequence[ModelSpec], rng: np.random.Generator
    ) -> Candidates:
        """Candidates whose hash is not ``evaluated``: all, or, of a large space, a draw and mutations of the
        ``incumbents``."""

    @abstractmethod
    def largest(self, evaluated: Collection[str]) -> ModelSpec | None:
        """One not ``evaluated`` with as many parameters as can be found."""

    @abstractmethod
    def sobol_candidate(self, number: int, seed: int, evaluated: Collection[str]) -> ModelSpec | None:
        """One not ``evaluated``, at point ``number`` of a sequence that fills the pool evenly."""

    def feasible(self, candidates: Candidates) -> Candidates:
        """Those that break no exact limit."""
        if not self.layout.exact or not len(candidates):
            return candidates
        kept = np.flatnonzero(self.goals.is_feasible(candidates.vectors[:, self.layout.exact_columns].numpy()))
        return Candidates(_Picked(candidates.specs, kept), candidates.vectors[kept])

    def upper_bounds(self) -> dict[str, float]:
        """The most that each exact objective is among those that stand for the pool."""
        most = self.reference[:, self.layout.exact_columns].amax(0).tolist()
        return dict(zip(self.goals.analytic, most, strict=True))


class LibraryPool(Pool):
    """All graphs of a library."""

    def __init__(self, library: GraphLibrary, goals: Goals | None = None) -> None:
        self._library, self.goals = library, goals or Goals()
        numbers = features(library.specs)
        self._parameters = numbers[:, 0]
        self._scaling = Scaling(numbers)
        self._centre = library.embeddings.mean(0)
        self._unit = float(library.embeddings.std()) or 1.0
        codes = layer_codes(library.specs)
        self._num_layers = codes.shape[1] // len(PLACES)
        self._used_codes = (codes != codes[:1]).any(0)
        self._outside_embeddings: dict[str, Array] = {}
        scaled = self._scaling(numbers)
        exact = self.goals.columns(library.specs)
        self._allowed = self.goals.is_feasible(exact)
        if not self._allowed.any():
            raise ValueError(
                infeasible_message(self.goals, exact, f"the {len(library):,} architectures of the library")
            )
        self.layout = Layout(library.embeddings.shape[1], scaled.shape[1], int(self._used_codes.sum()), exact.shape[1])
        self.reference = self._joined(library.embeddings, scaled, codes[:, self._used_codes], exact)

    def vectors(self, specs: Sequence[ModelSpec]) -> Tensor:
        rows = []
        for spec in specs:
            if spec.hash in self._library:
                rows.append(self.reference[self._library.position(spec.hash)])
                continue
            if spec.hash not in self._outside_embeddings:
                self._outside_embeddings[spec.hash] = self._library.embed(spec)
            codes = layer_codes([spec], self._num_layers)[:, : self._num_layers * len(PLACES)][:, self._used_codes]
            scaled, exact = self._scaling(features([spec])), self.goals.columns([spec])
            rows.append(self._joined(self._outside_embeddings[spec.hash][None], scaled, codes, exact)[0])
        return torch.stack(rows)

    def candidates(
        self, evaluated: Collection[str], incumbents: Sequence[ModelSpec], rng: np.random.Generator
    ) -> Candidates:
        places = self._available(evaluated)
        return Candidates(_Picked(self._library.specs, places), self.reference[places])

    def largest(self, evaluated: Collection[str]) -> ModelSpec | None:
        places = self._available(evaluated)
        return self._library.specs[places[int(self._parameters[places].argmax())]] if len(places) else None

    def sobol_candidate(self, number: int, seed: int, evaluated: Collection[str]) -> ModelSpec | None:
        """The nearest by embedding to a point of a scrambled Sobol sequence over the library's bounds."""
        places = self._available(evaluated)
        if not len(places):
            return None
        vectors = self.reference[:, self.layout.embedding_columns]
        lower, upper = vectors.amin(0), vectors.amax(0)
        point = lower + sobol_point(vectors.shape[1], number, seed) * (upper - lower)
        return self._library.specs[places[int((vectors[places] - point).square().sum(1).argmin())]]

    def _available(self, evaluated: Collection[str]) -> npt.NDArray[np.int64]:
        is_available = self._allowed.copy()
        known = [graph_hash for graph_hash in evaluated if graph_hash in self._library]
        is_available[[self._library.position(graph_hash) for graph_hash in known]] = False
        return np.flatnonzero(is_available)

    def _joined(self, embeddings: Array, scaled: Array, codes: npt.NDArray[np.int64], exact: Array) -> Tensor:
        """(N, K). Codes are below 2³², so exact as doubles."""
        centred = (embeddings - self._centre) / self._unit
        return torch.from_numpy(np.hstack([centred, scaled, codes.astype(float), exact]))


class Scaling:
    """Numbers to mean 0 and deviation 1 over a reference (N, F); those that do not vary there are left out."""

    def __init__(self, reference: Array) -> None:
        self.varying = reference.std(0) > 1e-9
        self._mean, self._deviation = reference.mean(0)[self.varying], reference.std(0)[self.varying]

    def __call__(self, numbers: Array) -> Array:
        return (numbers[:, self.varying] - self._mean) / self._deviation


def infeasible_message(goals: Goals, columns: Array, where: str) -> str:
    """The message that exact limits leave no architecture; the least of each quantity (N, E), and its limit."""
    least = [
        f"'{name}' is at least {_said(value)}, and its limit {_said(goals.constraints[name])}"
        for name, value in zip(goals.analytic, columns.min(0).tolist(), strict=True)
        if name in goals.constraints
    ]
    return f"None of {where} keeps all constraints: {'; '.join(least)}. Raise a limit, or search smaller architectures"


def _said(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def sobol_point(dimension: int, number: int, seed: int) -> Tensor:
    """Point ``number`` (dimension,) of a scrambled Sobol sequence in the unit cube."""
    engine = torch.quasirandom.SobolEngine(dimension, scramble=True, seed=seed)
    return engine.fast_forward(number).draw(1, dtype=torch.float64)[0]


class _Picked(Sequence[ModelSpec]):
    """Some members of a sequence, without making them."""

    def __init__(self, specs: Sequence[ModelSpec], places: npt.NDArray[np.int64]) -> None:
        self._specs, self._places = specs, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: Any) -> Any:
        return self._specs[int(self._places[number])]
