"""Who inherited from whom, as a tree that a page shows as nested lists: each trial below its first parent."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..records.journal import TrialRecord

_MOST = 40


@dataclass
class Branch:
    """A trial, its further parents in the run, and its children, the best first.

    Attributes:
        is_path: whether the best one comes of it.
    """

    record: TrialRecord
    others: list[TrialRecord] = field(default_factory=list)
    children: list["Branch"] = field(default_factory=list)
    is_path: bool = False


def lineage(ranked: Sequence[TrialRecord]) -> tuple[list[Branch], int]:
    """Returns the trees of finished trials, and how many trials are left out: of many, the best with all they come of
    are shown. No tree where no trial inherits from another.

    Args:
        ranked: the best first.
    """
    trials = {record.candidate.spec.hash: record for record in reversed(ranked)}
    above = {
        own: [parent for parent in record.candidate.origin.parents if parent in trials and parent != own]
        for own, record in trials.items()
    }
    if not any(above.values()):
        return [], 0
    shown: list[str] = []  # in the order in which they are taken, each after what it comes of
    for record in ranked:
        way = [name for name in _way(record.candidate.spec.hash, above) if name not in shown]
        if len(shown) + len(way) <= _MOST:
            shown += way
    best = set(_way(ranked[0].candidate.spec.hash, above))
    branches = {name: Branch(trials[name], is_path=name in best) for name in shown}
    roots = []
    for name in shown:
        first = next(iter(above[name]), None)
        branches[name].others = [trials[parent] for parent in above[name][1:]]
        if first is None or name in _way(first, above):  # of two that are parents of each other
            roots.append(branches[name])
        else:
            branches[first].children.append(branches[name])
    for branch in branches.values():
        branch.children.sort(key=lambda child: -(child.record.score or 0.0))
    return sorted(roots, key=lambda branch: -(branch.record.score or 0.0)), len(trials) - len(shown)


def _way(name: str, above: dict[str, list[str]]) -> list[str]:
    """From the first ancestor down to the trial, by first parents."""
    way = [name]
    while above[way[-1]] and above[way[-1]][0] not in way:
        way.append(above[way[-1]][0])
    return way[::-1]
