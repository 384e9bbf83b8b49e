"""Surrogates without a search: each observation is predicted from all the others (leave-one-out, fitted anew).

Rank correlation (Kendall's tau, -1 to 1) says whether the better is told from the worse; calibration, whether predicted
intervals hold the share of truths that they should. Of mere noise tau is below 0: the mean of the others is the lower,
the higher the one left out. Shapes: N observations.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.table import Table as TextTable
from scipy.stats import kendalltau

from embeddings import GraphLibrary

from ..optimizer.surrogate_state import LANDSCAPE_SAMPLE
from ..pools.library_pool import LibraryPool
from ..surrogates import fit_surrogate
from .statistics import interval
from .table import Table

INTERVALS = (0.5, 0.8, 0.95)
_FEWEST = 3


def check_observed(counts: Sequence[int], table: Table) -> None:
    """Raises ``ValueError`` for more observations than the table has."""
    most = int(np.isfinite(table.gains).sum())
    if wrong := [count for count in counts if not _FEWEST <= count <= most]:
        raise ValueError(f"'--observed' must be between {_FEWEST} and the {most} scores of the table. Got {wrong[0]}")


def surrogate_quality(
    table: Table,
    library: GraphLibrary,
    names: Sequence[str],
    *,
    counts: Sequence[int],
    seeds: Sequence[int],
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Returns the figures that ``--out`` writes: by surrogate and number of observations, ``tau`` (mean over seeds,
    with its interval), ``inside`` (share of truths in the central 50, 80 and 95 % of the prediction) and ``seeds``.

    Args:
        library: of the table's architectures, in its order.
        counts: numbers of observations, drawn at random from those with a score.
    """
    pool = LibraryPool(library)
    jobs = [(name, count, seed) for name in names for count in counts for seed in seeds]
    taus: dict[tuple[str, int], list[float]] = {}
    shares: dict[tuple[str, int], list[npt.NDArray[np.float64]]] = {}
    for done, (name, count, seed) in enumerate(jobs):
        progress(done, len(jobs))
        rng = np.random.default_rng([seed, count])
        chosen = rng.choice(np.flatnonzero(np.isfinite(table.gains)), count, replace=False)
        unlabelled = pool.reference[rng.permutation(len(pool.reference))[:LANDSCAPE_SAMPLE]]
        truth = table.gains[chosen]
        mean, below = _leave_one_out(name, pool, chosen, truth, unlabelled, seed)
        taus.setdefault((name, count), []).append(float(np.nan_to_num(kendalltau(mean, truth).statistic)))
        inside = np.array([(np.abs(below - 0.5) <= share / 2).mean() for share in INTERVALS])
        shares.setdefault((name, count), []).append(inside)
    return {
        "metric": table.metric,
        "surrogates": {
            name: {
                str(count): {
                    "tau": interval(np.array(taus[name, count])),
                    "inside": {
                        f"{share:.0%}": float(found)
                        for share, found in zip(INTERVALS, np.mean(shares[name, count], axis=0), strict=True)
                    },
                    "seeds": len(seeds),
                }
                for count in counts
            }
            for name in names
        },
    }


def quality_table(figures: dict[str, Any]) -> TextTable:
    """Returns the figures as a table to print."""
    shown = TextTable(box=None, title=f"Leave-one-out predictions of {figures['metric']}")
    shown.add_column("surrogate", no_wrap=True)
    for heading in ("observed", "Kendall's tau", *(f"in {share:.0%}" for share in INTERVALS), "seeds"):
        shown.add_column(heading, justify="right")
    for name, of in figures["surrogates"].items():
        for count, found in of.items():
            tau = found["tau"]
            shown.add_row(
                name,
                count,
                f"{tau['mean']:.3f} [{tau['low']:.2f}, {tau['high']:.2f}]",
                *(f"{share:.0%}" for share in found["inside"].values()),
                str(found["seeds"]),
            )
    return shown


def _leave_one_out(
    name: str,
    pool: LibraryPool,
    chosen: npt.NDArray[np.int64],
    truth: npt.NDArray[np.float64],
    unlabelled: torch.Tensor,
    seed: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Predicts each observation from all the others: the mean, and how probable it was to be at most what it is, (N,)
    each."""
    X, Y = pool.reference[chosen], torch.from_numpy(truth)
    means, below = np.empty(len(chosen)), np.empty(len(chosen))
    for place in range(len(chosen)):
        others = np.arange(len(chosen)) != place
        model = fit_surrogate(name, X[others], Y[others], unlabelled=unlabelled, seed=seed, layout=pool.layout)
        with torch.no_grad():
            means[place] = float(model.predict_moments(X[[place]]).mean)
            below[place] = float(model.probability_below(X[[place]], Y[[place]]))
    return means, below
