"""A search of 10,000 trials on 500 workers, by a simulated clock: are the workers kept busy?

Real suggestions over the 2.2e22 space, with as many trials in flight as there are workers, are timed when 0, 100,
1,000, ... trials have ended (those in between are members of the space at random, told without being suggested). The
queue is then simulated: a worker that becomes free waits for the searcher, which makes one suggestion at a time, each
taking what was measured around that number of trials. Trials are log-normal, of some mean lengths.
"""

import argparse
import heapq
import resource
from pathlib import Path

import numpy as np

from design_space import DesignSpace
from flexibert import FlexiBERTConfig, transfer_overlap
from search import BOSHNAS, BOSHNASSettings
from search.candidate import Candidate, Origin, origin_names
from tests.benchmarks.search_speed import REPEATS, score
from tests.benchmarks.search_speed import seconds as suggestion_seconds

SPACE = Path(__file__).resolve().parents[2] / "design_space" / "design_space.yaml"


def main(arguments: list[str] | None = None) -> None:
    """Print seconds per suggestion, memory, and the share of busy time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--minutes", type=float, nargs="+", default=[10.0, 20.0, 30.0, 60.0], help="mean of a trial")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 100, 1000, 3000, 10_000])
    options = parser.parse_args([] if arguments is None else arguments)
    seconds = measure(options.counts, options.workers)
    for minutes in options.minutes:
        busy, hours = simulate(options.trials, options.workers, 60 * minutes, options.counts, seconds)
        print(
            f"{options.trials:,} trials of {minutes:g} min, {options.workers} workers: busy {busy:.1%}, {hours:.1f} h"
        )


def measure(counts: list[int], in_flight: int) -> list[float]:
    """Median processor seconds of a suggestion, which takes one core, at each number of ended trials."""
    level = DesignSpace.from_yaml(SPACE).level(layers_per_stack=1, heterogeneous_feed_forward=True)
    config, found = FlexiBERTConfig(vocab_size=30_000), []
    boshnas = BOSHNAS(
        level,
        settings=BOSHNASSettings(patience=10**9, origins=origin_names()),
        overlap=lambda parent, child: transfer_overlap(parent, child, config),
    )
    members = iter(level.sample(max(counts) + in_flight, seed=1))
    for _ in range(in_flight - 1):
        boshnas.register_pending(Candidate(next(members), Origin(), "optimized"))  # as if suggested
    told = 0
    for count in counts:
        while told < count:
            spec = next(members)
            boshnas.add_prior_observation(spec, score(spec), parent=True)
            told += 1
        found.append(suggestion_seconds(boshnas))
        told += REPEATS
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{count:,} ended, {in_flight} in flight: {found[-1]:.2f} s a suggestion, {memory:,.0f} MB", flush=True)
    return found


def simulate(
    trials: int, workers: int, mean_s: float, counts: list[int], seconds: list[float], seed: int = 0
) -> tuple[float, float]:
    """Share of the workers' time, up to the last suggestion, in which they train; and hours until all has ended."""
    rng = np.random.default_rng(seed)
    lengths = mean_s * rng.lognormal(-0.125, 0.5, trials)
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    searcher = ended = busy = last = 0.0
    ending: list[float] = []
    for length in lengths:
        when, worker = heapq.heappop(free)
        start = max(when, searcher)
        while ending and ending[0] <= start:
            heapq.heappop(ending)
            ended += 1
        searcher = start + float(np.interp(ended, counts, seconds))
        busy += length
        last = max(last, searcher + length)
        heapq.heappush(ending, searcher + length)
        heapq.heappush(free, (searcher + length, worker))
    idle_at_end = sum(last - when for when, _ in free)
    return busy / (workers * last - idle_at_end), last / 3600


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
