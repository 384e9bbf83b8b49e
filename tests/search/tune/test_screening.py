"""Which children are screened, and what is kept of them."""

import itertools

from design_space import ModelSpec, Subarchitectures
from search.objectives import exact_costs
from search.tune.screening import _mutations

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
