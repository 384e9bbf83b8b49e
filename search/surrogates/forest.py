"""A tree ensemble as surrogate: extremely randomised trees with bootstrap; their disagreement is the epistemic
deviation, the spread of the scores around the out-of-bag prediction the aleatoric one.

Piecewise constant: its gradient is zero, so that second-order ascent stays where it starts.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesRegressor
from torch import Tensor

from .base import Moments, PointwiseSurrogate

_TREES = 100


class ForestSurrogate(PointwiseSurrogate):
    """A forest of ``_TREES`` trees."""

    def __init__(self, X: Tensor, Y: Tensor, *, columns: Sequence[int], seed: int) -> None:
        """Fit to the given columns of vectors X (N, ...) and scores Y (N,)."""
        super().__init__(Y, columns)
        inputs, target = X[:, self.columns].detach().numpy(), self.target.numpy()
        forest = ExtraTreesRegressor(_TREES, bootstrap=True, max_features=0.5, random_state=seed)
        forest.fit(inputs, target)
        self._trees = forest.estimators_
        predicted = np.stack([tree.predict(inputs) for tree in self._trees])
        seen = np.zeros(predicted.shape, dtype=bool)
        for row, sample in zip(seen, forest.estimators_samples_, strict=True):
            row[sample] = True
        unseen = (~seen).sum(0)
        out_of_bag = np.where(seen, 0.0, predicted).sum(0) / np.maximum(unseen, 1)
        errors = (target - out_of_bag)[unseen > 0]
        self._aleatoric = float(np.clip(errors.std(), 1e-2, 1.0)) if len(errors) > 1 else 1.0

    def predict_standardized(self, X: Tensor) -> Moments:
        predicted = self.sampled_functions(X)
        attached = X.sum(-1) * 0.0  # keeps the graph, for those who differentiate
        mean = predicted.mean(0) + attached
        deviation = predicted.std(0, correction=0).clamp_min(1e-3) + attached
        return Moments(mean, deviation, torch.full_like(mean, self._aleatoric))

    def sampled_functions(self, X: Tensor) -> Tensor:
        """The trees."""
        inputs = X.detach().cpu().numpy()
        return torch.from_numpy(np.stack([tree.predict(inputs) for tree in self._trees])).to(X)
