import json
import math

import numpy as np
import pytest

from flexibert import cost_of
from search.benchmark.__main__ import benchmark
from search.benchmark.searchers import CONTROLS
from search.benchmark.space_controls import SPACE_CONTROLS
from search.benchmark.suite import COUNTS, ListedTask, SpaceTask, suite_of
from search.benchmark.suite_comparison import search_suite, suite_figures, suite_markdown
from search.benchmark.synthetic import KINDS, Objective
from search.benchmark.table import Table


@pytest.fixture(scope="module")
def level(tiny_space):
    return tiny_space.level(layers_per_stack=1)


@pytest.fixture(scope="module")
def listed(level) -> ListedTask:
    objective, specs = Objective("smooth", level, 0), level.sample(70, seed=0)
    gains = np.array([objective.measured(spec, 0) for spec in specs])
    return ListedTask("listed", Table(metric="smooth", specs=tuple(specs), gains=gains, minimize=False))


def _results(regrets: dict[str, list[list[list[float]]]]) -> dict:
    """Of regrets by searcher: tasks, seeds, counts."""
    tasks = range(len(next(iter(regrets.values()))))
    return {
        f"task {t}": {
            "listed": True,
            "searches": {
                name: {str(s): {"regrets": counts, "seconds": 6.0} for s, counts in enumerate(of[t])}
                for name, of in regrets.items()
            },
        }
        for t in tasks
    }


@pytest.mark.parametrize("kind", KINDS)
def test_objectives_are_functions_of_the_architecture(kind, level):
    one, same, other = (Objective(kind, level, seed) for seed in (1, 1, 2))
    specs = level.sample(40, seed=3)
    truths = [one.truth(spec) for spec in specs]
    assert truths == [same.truth(spec) for spec in specs]
    assert truths != [other.truth(spec) for spec in specs]
    if kind == "plateaus":
        assert all(truth % 0.5 == 0 for truth in truths)
    if kind in ("latency", "energy"):
        assert max(truths) < 0


def test_the_optimum_is_no_worse_than_a_large_sample(level):
    objective = Objective("interactions", level, 0)
    assert objective.optimum() >= max(objective.truth(spec) for spec in level.sample(400, seed=9))


def test_small_architectures_are_measured_with_more_noise(level):
    objective = Objective("heteroscedastic", level, 0)
    specs = level.sample(60, seed=0)
    by_size = [specs[place] for place in np.argsort(cost_of(specs, 16).parameters)]

    def noise(spec) -> float:
        return float(np.std([objective.measured(spec, seed) for seed in range(60)]))

    assert noise(by_size[0]) > 2 * noise(by_size[-1])


@pytest.mark.parametrize("name", list(SPACE_CONTROLS))
def test_controls_search_spaces_that_are_not_listed(name, level):
    objective, asked = Objective("smooth", level, 0), []
    for _ in range(2):
        searcher, specs = SPACE_CONTROLS[name](level, 5), []
        for _ in range(12):
            specs.append(searcher.ask())
            searcher.tell(specs[-1], objective.truth(specs[-1]))
        asked.append(specs)
    assert asked[0] == asked[1]
    assert all(spec in level for spec in asked[0])


def test_every_control_searches_both_kinds_of_task():
    assert set(SPACE_CONTROLS) == set(CONTROLS)


def test_the_suite_has_many_tasks_of_every_kind(tmp_path, level):
    table = tmp_path / "table.json"
    entries = [
        {"model_dict": spec.to_dict(), "scores": {"a": n, "b": -n}} for n, spec in enumerate(level.sample(6, seed=0))
    ]
    table.write_text(json.dumps(entries))
    made, all_tasks = suite_of(None), suite_of(table)
    assert [task.name for task in all_tasks[:4]] == ["a", "a, half", "b", "b, half"]
    assert len(all_tasks) == len(made) + 4
    assert {task.name.split()[0].strip(",") for task in made} == set(KINDS)
    sizes = [task.objective.level.size for task in made if isinstance(task, SpaceTask)]
    assert min(sizes) > 1e6
    assert max(sizes) > 1e22


def test_regrets_are_in_units_of_the_task(listed, level):
    found = listed.search("random", 0)
    gains = listed.table.gains
    order = np.random.default_rng(0)
    assert len(found.regrets) == len(COUNTS)
    assert listed.unit == gains.max() - np.median(gains)
    assert 0 <= found.regrets[-1] <= found.regrets[0] <= 1
    task = SpaceTask("space", Objective("plateaus", level, int(order.integers(9))))
    large = task.search("evolution", 0)
    assert math.isclose(large.regrets[0] * task.unit % 0.5, 0, abs_tol=1e-9)


def test_controls_are_searched_once(listed, tmp_path):
    out = tmp_path / "suite.json"
    options = {"n_jobs": 1, "out": out, "progress": lambda done, total: None}
    first, taken = search_suite([listed], ["random"], seeds=[0, 1], **options)
    assert taken == 0
    second, taken = search_suite([listed], ["random", "evolution"], seeds=[0, 1, 2], **options)
    assert taken == 2
    assert (
        second["listed"]["searches"]["random"]["1"]
        == json.loads(json.dumps(first))["listed"]["searches"]["random"]["1"]
    )
    table = listed.table
    changed = ListedTask("listed", Table(metric="x", specs=table.specs, gains=table.gains + 1, minimize=False))
    assert search_suite([changed], ["random"], seeds=[0, 1], **options)[1] == 0


def test_ranks_are_averaged_over_tasks_and_counts():
    better, worse, tied = [[[0.2, 0.1, 0.0]] * 4] * 6, [[[0.4, 0.3, 0.2]] * 4] * 6, [[[0.4, 0.3, 0.0]] * 4] * 6
    figures = suite_figures(_results({"a": better, "b": worse, "c": tied}), ["a", "b", "c"], range(4))
    assert figures["a"]["rank"] == {"mean": pytest.approx((1 + 1 + 1.5) / 3), "low": 3.5 / 3, "high": 3.5 / 3}
    assert figures["c"]["rank"]["mean"] == pytest.approx((2.5 + 2.5 + 1.5) / 3)
    assert [figures[name]["unbeaten"] for name in "abc"] == [1, 0, 1]
    assert [figures[name]["found_best"] for name in "abc"] == [1, 0, 1]
    assert figures["b"]["regret"]["20"]["mean"] == pytest.approx(0.4)
    assert figures["a"]["seconds_per_suggestion"] == pytest.approx(0.1)


def test_what_differs_by_chance_is_not_beaten():
    rng = np.random.default_rng(0)
    regrets = {name: rng.random((10, 5, 3)).tolist() for name in "ab"}
    figures = suite_figures(_results(regrets), ["a", "b"], range(5))
    assert min(figures[name]["unbeaten"] for name in "ab") >= 0.7
    assert figures["a"]["rank"]["low"] < 1.5 < figures["a"]["rank"]["high"]


def test_the_result_is_markdown_with_the_best_first():
    text = suite_markdown(_results({"b": [[[0.4, 0.3, 0.2]]], "a": [[[0.2, 0.1, 0.0]]]}), ["b", "a"], range(1))
    lines = text.splitlines()
    assert lines[2].startswith("| searcher | average rank | regret @20 |")
    assert lines[4].startswith("| `a` | 1.00 [1.00, 1.00] | 0.200 [0.200, 0.200] |")
    assert lines[-1] == "| task 0 | **0.000** | 0.200 |"


def test_flags_of_one_table_are_refused_with_the_suite():
    with pytest.raises(ValueError, match="'--suite' has tasks of its own. Leave out --metric, --queries"):
        benchmark(["--suite", "--metric", "cola", "--queries", "20"])
    with pytest.raises(ValueError, match="'--table' or '--suite' must say"):
        benchmark(["--queries", "20"])
