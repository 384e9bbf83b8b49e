"""What models say of the ends of trainings, by what ended and what was stopped early; on a learning-curve table.

    python -m tests.benchmarks.fidelity_quality CURVES.jsonl [--seeds 5]

Of random architectures an eighth is trained to the end, three eighths are stopped, half of these after one epoch and
half after three, and the others are not begun. For the stopped and for the others: Spearman's correlation with the
ends, and the mean log density of these.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskMultiFidelityGP
from botorch.models.transforms import Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood
from scipy.stats import spearmanr
from torch import Tensor

from search.surrogates import fit_surrogate
from tests.benchmarks.fidelity import CurveTable, Trainings, tables_of
from tests.benchmarks.fidelity_process import FidelityMixture
from tests.benchmarks.learning_curves import load_curves

Predict = Callable[[Sequence[int]], tuple[Tensor, Tensor]]
"""Mean and deviation of ends, noise included."""


def ends(run: Trainings, *, stopped: bool, errors: bool) -> Predict:
    """The product's default surrogate of what ended and, as the product extrapolates it, of what was stopped."""
    X, Y, noise = run.ends_and_expected()
    kept = slice(None) if stopped else slice(len(run.ends))
    model = fit_surrogate(
        "mixture",
        X[kept],
        Y[kept],
        unlabelled=run.table.X,
        seed=0,
        layout=run.table.layout,
        noise=noise[kept] * errors,
    )

    def predict(places: Sequence[int]) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            moments = model.predict_moments(run.table.X[list(places)])
        return moments.mean, torch.hypot(moments.epistemic, moments.aleatoric)

    return predict


def epochs(run: Trainings) -> Predict:
    """The process of ``fidelity_process.py``."""
    mixture = FidelityMixture(run.scores(), run.table.layout)

    def predict(places: Sequence[int]) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            mean, deviation = mixture.at_end(run.table.X[list(places)], torch.tensor(places))
        return mean, torch.hypot(deviation, mixture.noise)

    return predict


def botorch(run: Trainings, *, linear_truncated: bool) -> Predict:
    """BoTorch's multi-fidelity process on the features, with a linear truncated or an exponential decay kernel."""
    scores, X = run.scores(), run.table.X[:, run.table.layout.feature_columns]
    X = (X - X.amin(0)) / (X.amax(0) - X.amin(0)).clamp_min(1e-9)
    model = SingleTaskMultiFidelityGP(
        torch.cat([X[scores.training], scores.fidelity[:, None]], 1),
        scores.score[:, None],
        data_fidelities=[X.shape[1]],
        linear_truncated=linear_truncated,
        outcome_transform=Standardize(1),
    )
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": {"maxiter": 40}})

    def predict(places: Sequence[int]) -> tuple[Tensor, Tensor]:
        at_end = torch.nn.functional.pad(X[list(places)], (0, 1), value=1.0)
        with torch.no_grad():
            posterior = model.posterior(at_end, observation_noise=True)
        return posterior.mean[:, 0], posterior.variance[:, 0].sqrt()

    return predict


MODELS: dict[str, Callable[[Trainings], Predict]] = {
    "ends alone": lambda run: ends(run, stopped=False, errors=False),
    "extrapolated, as certain": lambda run: ends(run, stopped=True, errors=False),
    "extrapolated, with its error": lambda run: ends(run, stopped=True, errors=True),
    "epochs, own process": epochs,
    "epochs, BoTorch linear truncated": lambda run: botorch(run, linear_truncated=True),
    "epochs, BoTorch exponential decay": lambda run: botorch(run, linear_truncated=False),
}


def main() -> None:
    """Read the arguments, fit, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curves", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print_row("table", "model", "stopped: rank", "log density", "not begun: rank", "log density")
    print_row(*["---"] * 6)
    for name, curves in tables_of([curve for path in arguments.curves for curve in load_curves(path)]):
        table = CurveTable(name, curves)
        rows = [_figures(table, seed) for seed in range(arguments.seeds)]
        for model in MODELS:
            means = np.nanmean([row[model] for row in rows], axis=0)
            print_row(f"{name} ({len(curves)})", model, *(f"{mean:.2f}" for mean in means))


def print_row(*cells: str) -> None:
    """A row of Markdown."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def _figures(table: CurveTable, seed: int) -> dict[str, list[float]]:
    """Of each model the four figures."""
    order = np.random.default_rng(seed).permutation(len(table.specs)).tolist()
    eighth, run = len(order) // 8, Trainings(table, seed, budget=0.0)
    stopped, others = order[eighth : 4 * eighth], order[4 * eighth :]
    for one in order[:eighth]:
        while not run.has_ended(one):
            run.epoch(one)
    for place, one in enumerate(stopped):
        for _ in range((1, 3)[place % 2]):
            run.epoch(one)
        run.stop(one)
    figures: dict[str, list[float]] = {}
    for name, model in MODELS.items():
        predict = model(run)
        figures[name] = [figure for places in (stopped, others) for figure in _judged(table, places, *predict(places))]
    return figures


def _judged(table: CurveTable, places: Sequence[int], mean: Tensor, deviation: Tensor) -> tuple[float, float]:
    truth = torch.from_numpy(table.ends[list(places)])
    density = torch.distributions.Normal(mean, deviation).log_prob(truth).mean()
    return float(spearmanr(mean, truth)[0]), float(density)


if __name__ == "__main__":
    main()
