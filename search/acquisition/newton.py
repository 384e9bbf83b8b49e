"""Second-order ascent over a surrogate's input: batched Newton steps with a trust region inside a box.

BOSHNAS descends on the input with a diagonal Hessian estimate (AdaHessian); an input has 16 numbers, so the exact
Hessian is cheap. Where it is not negative definite its eigenvalues are turned (saddle-free Newton, Dauphin et al.
2014), so that every step climbs.

Shapes: R restarts, K inputs.
"""

from collections.abc import Callable

import torch
from torch import Tensor

_STEPS = 25
_CURVATURE_FLOOR = 1e-6


def ascend(objective: Callable[[Tensor], Tensor], starts: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Local maxima (R, K) of ``objective`` ((R, K) -> (R,), rows independent), one from each start, inside the box.

    A row's objective never falls: a step that would make it fall is refused and its trust radius halved.
    """
    points = starts.clamp(lower, upper)
    radius = ((upper - lower).norm() / 8).expand(len(points)).clone()
    values = objective(points).detach()
    for _ in range(_STEPS):
        step = _newton_step(objective, points)
        length = step.norm(dim=1)
        step = step * (radius / length.clamp_min(1e-12)).clamp(max=1.0)[:, None]
        proposed = (points + step).clamp(lower, upper)
        reached = objective(proposed).detach()
        better = reached > values
        points = torch.where(better[:, None], proposed, points)
        values = torch.where(better, reached, values)
        radius = torch.where(better, radius * 1.5, radius / 2)
    return points


def _newton_step(objective: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """``|H|⁻¹ g`` of every row."""
    with torch.enable_grad():
        X = points.detach().requires_grad_()
        gradient = torch.autograd.grad(objective(X).sum(), X, create_graph=True)[0]
        hessian = torch.zeros(*X.shape, X.shape[1], dtype=X.dtype)
        for k in gradient.any(0).nonzero().flatten().tolist():  # of a column that does not count, all is 0
            hessian[:, k] = torch.autograd.grad(gradient[:, k].sum(), X, retain_graph=True)[0]
    hessian = (hessian + hessian.mT) / 2
    eigenvalues, eigenvectors = torch.linalg.eigh(hessian)
    floor = _CURVATURE_FLOOR * eigenvalues.abs().amax(1, keepdim=True).clamp_min(1e-9)
    projected = (eigenvectors.mT @ gradient.detach()[:, :, None]).squeeze(-1)
    return (eigenvectors @ (projected / eigenvalues.abs().clamp_min(floor))[:, :, None]).squeeze(-1)
