"""Limits on time, held against architectures that are slower than predicted."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from design_space import ModelSpec
from search.runs import timing

ROOT, DEEP, FLAT = (ModelSpec.homogeneous(layers, 128, 2, 512) for layers in (6, 4, 2))
TIMES = {ROOT: 20.0, DEEP: 11.0, FLAT: 9.0}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run whose encoder takes 20 ms, and is predicted to take 10, on a machine that has grown busy."""
    monkeypatch.setattr(timing, "_times_ms", lambda run, specs, repeats: [TIMES[spec] for spec in specs])
    return SimpleNamespace(
        roots=SimpleNamespace(reference=ROOT), latency=lambda specs: np.array([TIMES[spec] / 2 for spec in specs])
    )


def test_a_limit_is_made_smaller_by_what_a_child_takes_too_long(run: Any) -> None:
    limit = {timing.LATENCY: 5.0 * timing.MARGIN, "parameters": 1e6}  # half of the encoder's time
    slow, fast = timing.tightened(run, [DEEP, FLAT], [limit, limit])
    too_long = 11 / 20 - 0.5 * timing.MARGIN_AGAIN  # of the encoder's time, which is predicted as 10 ms
    assert slow == {timing.LATENCY: pytest.approx(limit[timing.LATENCY] - 10 * too_long), "parameters": 1e6}
    assert fast == limit


def test_limits_on_other_costs_stay(run: Any) -> None:
    assert timing.tightened(run, [DEEP], [{"parameters": 1e6}]) == [{"parameters": 1e6}]


def test_too_slow_children_are_left_out_and_the_fastest_stays_where_all_are(run: Any) -> None:
    assert timing.fast_enough(run, [DEEP, FLAT], {timing.LATENCY: 5.0 * timing.MARGIN}) == [FLAT]
    assert timing.fast_enough(run, [DEEP, FLAT], {timing.LATENCY: 4.0}) == [FLAT]
