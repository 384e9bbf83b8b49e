"""Known architectures that a result is compared with: homogeneous BERTs by name (Turc et al., 2019, "Well-Read Students
Learn Better"), and the one of the same size as a given architecture.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from design_space import ModelSpec

# Layers, hidden size, heads, feed-forward size.
BASELINES = {"bert-tiny": (2, 128, 2, 512), "bert-mini": (4, 256, 4, 1024), "bert-small": (4, 512, 8, 2048)}
SAME_SIZE = "same-size"
_HEAD_SIZES = (64, 32, 16)
_HIDDEN_STEP, _LARGEST_HIDDEN = 16, 2048


def baseline_spec(name: str) -> ModelSpec:
    """The homogeneous architecture of that name in ``BASELINES``."""
    return ModelSpec.homogeneous(*BASELINES[name])


def same_size(spec: ModelSpec, parameters: Callable[[Sequence[ModelSpec]], npt.NDArray[np.float64]]) -> ModelSpec:
    """BERT's architecture as deep as ``spec`` and nearest in its number of parameters: feed-forwards of four times the
    hidden size, heads of 64 where these fit, otherwise 32 or 16.

    Args:
        parameters: of architectures (N,), with the embeddings they would have.
    """
    found = []
    for hidden in range(_HIDDEN_STEP, _LARGEST_HIDDEN + 1, _HIDDEN_STEP):
        head_size = next(size for size in _HEAD_SIZES if hidden % size == 0)
        found.append(ModelSpec.homogeneous(len(spec.layers), hidden, hidden // head_size, 4 * hidden))
    return found[int(np.abs(parameters(found) - parameters([spec])).argmin())]
