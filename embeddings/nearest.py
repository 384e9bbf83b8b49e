"""The architectures of a space nearest to a vector, also where the space cannot be listed.

From the nearest known one, one stack after the other takes the choice whose vector is nearest, until no choice helps.
On the way a vector is a few steps of ``embedding.place`` from the one before, and a distance the vertex part of the
edit distance alone (``edit_distance``), which a change of one layer changes by one addition; time and memory do not
depend on how many members the space has.

Shapes: P places of the label order, M landmarks, C choices, K embedding size.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from design_space import LabelOrder, Layer, Level, ModelSpec
from design_space.spec import Format

from .landmark_mds import majorise
from .layered_graphs import LayeredGraphs

Floats = npt.NDArray[np.float32]

_NUM_LANDMARKS = 200
_SWEEPS = 6
_STEPS = 12


class NearestSearch:
    """Searches a level for members near vectors.

    Args:
        level: the space.
        order: its label order.
        landmarks: architectures whose vectors, (M, embedding size), are known.
    """

    def __init__(
        self, level: Level, order: LabelOrder, landmarks: list[ModelSpec], vectors: npt.NDArray[np.float64]
    ) -> None:
        self._level, self._order = level, order
        vectors = vectors[:_NUM_LANDMARKS]
        self._centre = vectors.mean(0)
        self._landmarks_MK = vectors - self._centre
        self._landmarks_MP = np.array([self._reach(spec) for spec in landmarks[:_NUM_LANDMARKS]])
        # What the edges add to a distance, and what the embedding makes of it, on average.
        between = np.abs(self._landmarks_MP[:, None] - self._landmarks_MP[None]).sum(-1)
        embedded = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
        self._scale = float((between * embedded).sum() / max((between * between).sum(), 1.0))

    def near(self, vector: npt.NDArray[np.float64], start: ModelSpec) -> ModelSpec:
        """A member near ``vector`` (embedding size,) that no change of one stack brings nearer, from ``start``, a
        member."""
        depth = self._level.layers_per_stack
        stacks = list(start.layers[::depth])
        branch = next(
            branch
            for branch in self._level.branches
            if len(branch) == len(stacks)
            and all(choices.index(layer) is not None for choices, layer in zip(branch, stacks, strict=True))
        )
        wanted_K = vector - self._centre
        reach_P = self._reach(start)
        at_K = self._place(reach_P[None], wanted_K, 2 * _STEPS)[0]
        least = float(((at_K - wanted_K) ** 2).sum())
        for _ in range(_SWEEPS):
            before = least
            for number, choices in enumerate(branch):
                layers = choices.near(stacks[number])
                steps_CP = np.array([_reach_of_layer(layer, start.format, self._order) for layer in layers])
                reached_CP = reach_P + depth * (steps_CP - _reach_of_layer(stacks[number], start.format, self._order))
                placed_CK = self._place(reached_CP, at_K, _STEPS)
                errors_C = ((placed_CK - wanted_K) ** 2).sum(1)
                best = int(errors_C.argmin())
                if errors_C[best] < least:
                    stacks[number], reach_P, at_K = layers[best], reached_CP[best], placed_CK[best]
                    least = errors_C[best]
            if least == before:
                break
        return ModelSpec(tuple(layer for layer in stacks for _ in range(depth)), start.format)

    def _place(self, reach_CP: Floats, from_K: npt.NDArray[np.float64], num_steps: int) -> npt.NDArray[np.float64]:
        distances_CM = self._scale * np.abs(reach_CP[:, None] - self._landmarks_MP).sum(-1)
        return majorise(np.tile(from_K, (len(reach_CP), 1)), distances_CM, self._landmarks_MK, num_steps)

    def _reach(self, spec: ModelSpec) -> Floats:
        reach: Floats = LayeredGraphs.of([spec], self._order, mixed=True).reach[:, 0].astype(np.float32)
        return reach


@lru_cache(maxsize=65_536)
def _reach_of_layer(layer: Layer, written: Format, order: LabelOrder) -> Floats:
    """The amount that one layer adds to ``LayeredGraphs.reach`` (and a constant, of ``input`` and ``output``)."""
    reach: Floats = LayeredGraphs.of([ModelSpec((layer,), written)], order, mixed=True).reach[:, 0].astype(np.float32)
    return reach
