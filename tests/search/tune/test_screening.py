"""Which children are screened, and what is kept of them."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from design_space import ModelSpec, Subarchitectures
from search.objectives import exact_costs
from search.tune.screening import _guided, _mutations

ROOT = ModelSpec.from_dict({"l": 4, "o": ["sa"] * 4, "h": [64] * 4, "n": [4] * 4, "f": [[128]] * 4, "p": ["sdp"] * 4})


def test_where_nothing_keeps_a_limit_yet_random_parts_and_the_smallest_are_tried() -> None:
    space, costs = Subarchitectures(ROOT), exact_costs()
    whole, least = (float(costs["parameters"]([spec])[0]) for spec in (ROOT, space.smallest))
    for limit in (least + 0.05 * (whole - least), least):
        found = list(itertools.islice(_mutations(space, [{"parameters": limit}], costs, {}, 0), 1))
        assert len(found) == 1
        assert found[0] in space
        assert float(costs["parameters"](found)[0]) <= limit
    assert not list(_mutations(space, [{"parameters": least - 1}], costs, {}, 0))


class _Pool:
    """One worker, which makes a child as wide as a limit allows."""

    def map(self, call: Callable[[Any, Any], Any], wanted: Iterable[Any]) -> list[ModelSpec | None]:
        worker = SimpleNamespace(guided=SimpleNamespace(remote=self.guided))
        return [call(worker, one) for one in wanted]

    def guided(self, num_layers: int, limits: Mapping[str, float]) -> ModelSpec | None:
        width = int(limits["latency_ms"]) // num_layers
        return ModelSpec.homogeneous(num_layers, 64, 4, width) if width > 0 else None


def test_children_are_made_again_until_they_keep_a_limit_when_they_are_timed() -> None:
    rounds = []

    def tighten(specs: Sequence[ModelSpec], limits: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
        """Every layer takes 10 ms more than predicted."""
        rounds.append(len(specs))
        times = [sum(layer.feed_forward[0] + 10 for layer in spec.layers) for spec in specs]
        return [{"latency_ms": of["latency_ms"] - max(0, time - 100)} for of, time in zip(limits, times, strict=True)]

    limit = {"latency_ms": 100.0}
    shallow, deep = _guided(_Pool(), [(1, limit), (5, limit), (100, limit)], tighten)  # type: ignore[arg-type]
    assert [spec.layers[0].feed_forward for spec in (shallow, deep)] == [(90,), (10,)]
    assert rounds == [3, 2]
    assert _guided(_Pool(), [(5, limit)], None)[0].layers[0].feed_forward == (20,)  # type: ignore[arg-type]
