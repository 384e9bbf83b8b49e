"""What the search and Ray cost beside training, read from the journal of a finished run.

    python -m tests.benchmarks.overhead RUN_DIR

Of each trial: seconds from its start on a worker to its result less those of training, and the pause between a result
and the next start on the worker that became free. The first trials' pauses are Ray's and the workers' starts, told
apart.
"""

import argparse
from pathlib import Path

import numpy as np

from search.records.journal import Journal


def main() -> None:
    """Print medians, the largest, and the share of training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path, help="with journal.jsonl, of a run that was not interrupted")
    options = parser.parse_args()
    events = list(Journal(options.run_dir / "journal.jsonl").events())
    suggested, started, ended, cost = {}, {}, {}, {}
    for event in events:
        if event["event"] == "suggested":
            suggested[event["trial"]] = event["time"]
        elif event["event"] == "started":
            started.setdefault(event["trial"], event["time"])
        elif event["event"] == "finished":
            ended[event["trial"]], cost[event["trial"]] = event["time"], event["cost_s"]
    around = [ended[trial] - started[trial] - cost[trial] for trial in ended]
    free = sorted(ended.values())
    later = sorted(started[trial] for trial in started if started[trial] > free[0])
    pauses = [start - end for start, end in zip(later, free, strict=False)]
    first = [started[trial] - suggested[trial] for trial in started if started[trial] < free[0]]
    _print("start of Ray and of a worker", first)
    _print("on the worker, beside training", around)
    _print("from a result to the next start", pauses)
    per_trial = float(np.mean(around) + np.mean(pauses or [0.0]))
    share = per_trial / float(np.mean(list(cost.values())))
    print(f"{len(ended)} trials: {per_trial:.2f} s a trial beside training, {share:.1%} of it")


def _print(name: str, seconds: list[float]) -> None:
    if seconds:
        print(f"{name}: median {np.median(seconds):.2f} s, at most {max(seconds):.2f} s")


if __name__ == "__main__":
    main()
