"""Screening on Ray: which children are looked at, and what they score, kept in the run directory as it comes in.

First come those that importance suggests: for every number of layers the child that is left when what matters least
for its size goes until the limits are kept. The others are mutations of the best so far that cost about as much.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray
from pydantic import TypeAdapter
from ray.util import ActorPool
from rich.console import Console
from typing_extensions import TypedDict

from design_space import ModelSpec, Subarchitectures
from design_space.files import parse_json
from design_space.schemas import SHAPE, checked

from ..objectives import Exact
from .screener import Screener, ScreeningJob

_TRIES = 200
_LEAST_COSTLY = 0.8
"""Share of a limit that a mutation must cost: smaller children are for smaller limits."""

_BEST = 4
"""How many of the best are mutated, for each limit."""

_ROUNDS = 4
"""How often children are made that may miss a limit when they are timed."""

Limits = Mapping[str, float]
Tighten = Callable[[Sequence[ModelSpec], Sequence[Limits]], Sequence[Limits]]


class _Child(TypedDict):
    __pydantic_config__ = SHAPE  # type: ignore[misc]
    spec: dict[str, Any]
    score: float


_CHILD = TypeAdapter(_Child)


@dataclass
class Screened:
    """What is known of the children of one parent, kept in a file of one JSON object a line."""

    path: Path
    scores: dict[ModelSpec, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists():
            whole = self.path.read_text(encoding="utf-8").rpartition("\n")[0]
            for number, line in enumerate(filter(None, whole.split("\n")), start=1):
                where = f"{self.path}, line {number}"
                try:
                    content = checked(_CHILD, parse_json(line), where)
                    self.scores[ModelSpec.from_dict(content["spec"])] = content["score"]
                except ValueError as error:
                    raise ValueError(str(error) if where in str(error) else f"{where} is damaged: {error}") from error

    def add(self, spec: ModelSpec, score: float) -> None:
        """One more; on disk when this returns."""
        self.scores[spec] = score
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"spec": spec.to_dict(), "hash": spec.hash, "score": score}) + "\n")


def screen_children(
    job: ScreeningJob,
    parent: ModelSpec,
    limits: Sequence[Limits],
    *,
    count: int,
    path: Path,
    tighten: Tighten | None = None,
    resources: Mapping[str, float],
    seed: int,
    console: Console,
) -> dict[ModelSpec, float]:
    """Scores of children of a trained model before any training.

    Args:
        limits: each the most that children may cost; children are made for all of them.
        count: children in all, those of an earlier attempt included.
        path: file that is written, and read where it is there.
        tighten: of children that importance suggests, and the limits that they were made for, what these must be for
            children that keep them.
        resources: of Ray, for each worker.
    """
    screened = Screened(path)
    if len(screened.scores) >= count:
        return screened.scores
    cpus, gpus = resources.get("cpu", 1.0), resources.get("gpu", 0.0)
    num_workers = max(1, min(count, int(ray.cluster_resources().get("CPU", 1) // max(cpus, 1.0))))
    workers = [ray.remote(num_cpus=cpus, num_gpus=gpus)(Screener).remote(job) for _ in range(num_workers)]
    pool = ActorPool(workers)
    console.print(f"screening {count} children; what the parent's parts are worth is found first", highlight=False)
    try:
        with console.status("screening: what the parent's parts are worth") as status:
            guided = [(depth, of) for of in limits for depth in range(len(parent.layers), 0, -1)]
            known = {parent, *screened.scores}
            waiting = [spec for spec in dict.fromkeys(_guided(pool, guided, tighten)) if spec not in known]
            mutations = _mutations(Subarchitectures(parent), limits, job.costs, screened.scores, seed)
            proposals = itertools.chain(waiting, mutations)
            first = len(screened.scores) + 1
            for number in range(first, count + 1):
                for spec in itertools.islice(proposals, num_workers if number == first else 1):
                    pool.submit(lambda worker, one: worker.screened.remote(one), spec)
                if not pool.has_next():
                    break
                spec, score = pool.get_next_unordered()
                if math.isnan(score):
                    console.print(f"No child could be made of {spec.to_dict()}", highlight=False, soft_wrap=True)
                    continue
                screened.add(spec, score)
                best = max(screened.scores.values())
                status.update(f"screening: {number} of {count} children, the best scores {best:.4f} untrained")
    finally:
        for worker in workers:
            ray.kill(worker)
    best = max(screened.scores.values(), default=math.nan)
    console.print(f"screened {len(screened.scores)} children; the best scores {best:.4f} untrained", highlight=False)
    return screened.scores


def _guided(pool: ActorPool, wanted: Sequence[tuple[int, Limits]], tighten: Tighten | None) -> list[ModelSpec]:
    """The children of so many layers that importance suggests within limits, those that can be."""
    for _ in range(_ROUNDS):
        made = pool.map(lambda worker, one: worker.guided.remote(*one), wanted)
        found = [(spec, *asked) for spec, asked in zip(made, wanted, strict=True) if spec is not None]
        specs, limits = [spec for spec, _, _ in found], [of for _, _, of in found]
        tight = tighten(specs, limits) if tighten else limits
        if tight == limits:
            break
        wanted = [(depth, of) for (_, depth, _), of in zip(found, tight, strict=True)]
    return specs


def _mutations(
    space: Subarchitectures,
    limits: Sequence[Limits],
    costs: Mapping[str, Exact],
    scores: Mapping[ModelSpec, float],
    seed: int,
) -> Iterator[ModelSpec]:
    """New members, for each limit in turn, near the best that keep it, or where there are none yet near the largest
    of some at random, or the smallest; ends where none is found any more."""
    rng, seen = np.random.default_rng([seed, len(scores)]), set(scores)
    for _ in range(_TRIES):
        for limit in limits:
            able = [spec for spec in scores if _cost(spec, limit, costs) <= 1]
            parents = sorted(able, key=lambda spec: -scores[spec])[:_BEST]
            if not parents:
                others = [spec for spec in space.stream(seed=seed, limit=_TRIES) if _cost(spec, limit, costs) <= 1]
                parents = [max(others, key=lambda spec: _cost(spec, limit, costs), default=space.smallest)]
                if parents[0] not in seen and _cost(parents[0], limit, costs) <= 1:
                    seen.add(parents[0])
                    yield parents[0]
                    continue
            for _ in range(_TRIES):
                spec = parents[int(rng.integers(len(parents)))]
                for _ in range(int(rng.integers(1, 4))):
                    spec = space.mutated(spec, rng)
                if spec not in seen and _LEAST_COSTLY <= _cost(spec, limit, costs) <= 1:
                    seen.add(spec)
                    yield spec
                    break


def _cost(spec: ModelSpec, limits: Limits, costs: Mapping[str, Exact]) -> float:
    """The largest of an architecture's costs, as shares of their limits."""
    return max((float(costs[name]([spec])[0]) / limit for name, limit in limits.items()), default=1.0)
