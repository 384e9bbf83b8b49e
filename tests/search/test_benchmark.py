import json
import math

import numpy as np
import pytest

from design_space.command import run_command
from flexibert import cost_of
from search.benchmark.__main__ import benchmark
from search.benchmark.plot import draw_curves
from search.benchmark.pool import Pool, library_of
from search.benchmark.quality import surrogate_quality
from search.benchmark.replay import Replay, replay, volume_shares
from search.benchmark.searchers import CONTROLS, ONE_OBJECTIVE, SEARCHERS, check_searcher
from search.benchmark.statistics import checkpoints, interval, summarize
from search.benchmark.table import Table, load_table


def _value(spec) -> float:
    return sum(layer.hidden_size / 32 + (layer.heads[0].operation == "sa") for layer in spec.layers) / 8


@pytest.fixture(scope="module")
def content(tiny_space) -> list[dict]:
    specs = tiny_space.sample(60, layers_per_stack=2, seed=0)
    return [{"model_dict": spec.to_dict(), "scores": {"glue": _value(spec)}, "id": n} for n, spec in enumerate(specs)]


@pytest.fixture
def path(content, tmp_path):
    path = tmp_path / "table.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def table(content, tmp_path_factory) -> Table:
    path = tmp_path_factory.mktemp("tables") / "table.json"
    path.write_text(json.dumps(content))
    return load_table(path, "glue")


@pytest.fixture(scope="module")
def pool(table) -> Pool:
    return Pool(table.specs, library_of(table.specs, n_jobs=1))


def test_repeated_measurements_are_averaged_and_missing_ones_are_failures(content, tmp_path):
    entries = [*content[:3], {**content[0], "scores": {"glue": 2.0}}, {**content[3], "scores": {"glue": None}}]
    entries += [{**content[4], "scores": {"other": 1.0}}, {**content[5], "scores": {"glue": math.nan}}]
    path = tmp_path / "table.json"
    path.write_text(json.dumps(entries))
    table = load_table(path, "glue")
    assert len(table) == 6
    assert table.gains[0] == pytest.approx((content[0]["scores"]["glue"] + 2.0) / 2)
    assert np.isnan(table.gains).tolist() == [False, False, False, True, True, True]
    lowest = load_table(path, "glue", minimize=True)
    assert lowest.optimum == np.nanmin(table.gains)
    assert np.nanmax(lowest.gains) == -lowest.optimum


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("{}", "must hold a JSON list"),
        ("[]", "must hold a JSON list of one or more"),
        ('[{"scores": {}}]', "entry 0: must be a mapping with 'model_dict' and 'scores'"),
        ('[{"model_dict": {"l": 1}, "scores": {}}]', "entry 0: .*Key 'o' is missing"),
    ],
    ids=["no JSON", "no list", "empty", "no model", "bad model"],
)
def test_bad_tables_are_refused(text, message, tmp_path):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"(?s)" + message):
        load_table(path, "glue")


def test_bad_scores_are_refused(content, path):
    with pytest.raises(ValueError, match="No entry of .* has a score 'gleu'. Did you mean 'glue'"):
        load_table(path, "gleu")
    path.write_text(json.dumps([{**content[0], "scores": {"glue": "high"}}]))
    with pytest.raises(ValueError, match="entry 0: score 'glue' must be a number. Got 'high'"):
        load_table(path, "glue")
    path.write_text(json.dumps([{**content[0], "scores": {"glue": None}}]))
    with pytest.raises(ValueError, match="No score 'glue' .* is finite"):
        load_table(path, "glue")
    with pytest.raises(ValueError, match="No such file"):
        load_table(path.with_name("none.json"), "glue")


@pytest.mark.parametrize("name", [*CONTROLS, "boshnas"])
def test_a_searcher_asks_for_everything_once_and_survives_failures(name, table, pool):
    gains = table.gains.copy()
    gains[::4] = np.nan
    broken = Table(metric="glue", specs=table.specs[:24], gains=gains[:24], minimize=False)
    small = Pool(broken.specs, library_of(broken.specs, n_jobs=1))
    result = replay(name, broken, small, num_queries=24, seed=1)
    assert result.regret[-1] == 0
    assert (np.diff(result.regret) <= 0).all()


@pytest.mark.parametrize("name", list(CONTROLS))
def test_the_same_seed_gives_the_same_search(name, table, pool):
    one, two, other = (replay(name, table, pool, num_queries=14, seed=seed).regret for seed in (3, 3, 4))
    assert (one == two).all()
    assert (one != other).any()


def test_models_beat_chance_on_an_easy_table(table, pool):
    def regret(name: str) -> float:
        return float(np.mean([replay(name, table, pool, num_queries=16, seed=s).regret[-1] for s in range(2)]))

    chance = np.mean([replay("random", table, pool, num_queries=16, seed=seed).regret[-1] for seed in range(40)])
    assert regret("boshnas") == 0 < chance
    assert regret("forest") < chance


def test_figures_are_means_with_intervals():
    replays = [Replay("x", seed, np.full(20, float(seed % 2)), 5.0) for seed in range(10)]
    figures = summarize(replays)
    assert list(figures["regret"]) == ["10", "20"]
    assert figures["regret"]["10"]["mean"] == 0.5
    assert 0.1 <= figures["regret"]["10"]["low"] <= 0.3 < 0.7 <= figures["regret"]["10"]["high"] <= 0.9
    assert (figures["found_best"], figures["seconds_per_suggestion"], figures["seeds"]) == (0.5, 0.25, 10)
    assert interval(np.full(5, 2.0)) == {"mean": 2.0, "low": 2.0, "high": 2.0}
    assert (checkpoints(25), checkpoints(5), checkpoints(30)) == ([10, 20, 25], [5], [10, 20, 30])


def test_the_command_writes_what_it_promises(path, tmp_path):
    out, plot = tmp_path / "out.json", tmp_path / "curves.svg"
    arguments = ["--table", path, "--searchers", "evolution", "random", "--queries", 20, "--seeds", 3, "--n_jobs", 1]
    benchmark([*map(str, arguments), "--out", str(out), "--plot", str(plot)])
    figures = json.loads(out.read_text())
    assert set(figures) == {"metric", "optimum", "searchers"}
    assert figures["optimum"] == max(entry["scores"]["glue"] for entry in json.loads(path.read_text()))
    assert set(figures["searchers"]) == {"evolution", "random"}
    assert set(figures["searchers"]["random"]) == {"regret", "found_best", "seconds_per_suggestion", "seeds"}
    assert set(figures["searchers"]["random"]["regret"]["20"]) == {"mean", "low", "high"}
    assert plot.read_text().count('id="curve of ') == 2


def test_processes_change_nothing(path, tmp_path):
    figures = []
    for n_jobs in ("1", "2"):
        out = tmp_path / f"{n_jobs}.json"
        flags = ["--queries", "12", "--seeds", "2", "--n_jobs", n_jobs, "--out", str(out), "--searchers", "evolution"]
        benchmark(["--table", str(path), *flags])
        figures.append(json.loads(out.read_text())["searchers"]["evolution"]["regret"])
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--searchers", "bohnas"], "Unknown searcher 'bohnas'. Did you mean 'boshnas'"),
        (["--searchers", "boshnas:confidenc=1"], "Unknown key 'confidenc' in .* Did you mean 'confidence'"),
        (["--searchers", "boshnas:second_order=maybe"], "'second_order' in .* must be true or false. Got 'maybe'"),
        (["--searchers", "tpe:alpha=1"], "The control 'tpe' has no settings"),
        (["--objectives", "parameters"], "'objectives' must include 'score'"),
        (["--objectives", "score", "energy"], "No entry of .* has a score 'energy'"),
        (["--objectives", "score", "flops", "--searchers", "local"], "'local' knows one objective only"),
        (["--queries", "61"], "'--queries' must be at most the 60 architectures. Got 61"),
    ],
    ids=["searcher", "setting", "value", "control", "no score", "objective", "local", "queries"],
)
def test_bad_flags_are_refused(flags, message, path):
    with pytest.raises(ValueError, match=message):
        benchmark(["--table", str(path), *flags])


def test_a_missing_table_ends_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run_command(benchmark, ["--table", str(tmp_path / "none.json")])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: No such file: {tmp_path / 'none.json'}\n"


def test_all_surrogates_can_be_compared():
    assert {"boshnas", "boshnas-mixture", "boshnas-forest", "boshnas-boshnas", "gp", "forest", "tpe"} <= set(SEARCHERS)


@pytest.fixture(scope="module")
def trade(content, tmp_path_factory) -> tuple[Table, Pool]:
    """Score against parameters, computed, and latency, from the table; every tenth training failed."""
    entries = [
        entry | {"scores": entry["scores"] | {"latency": float(entry["model_dict"]["l"]) if n % 10 else math.nan}}
        for n, entry in enumerate(content)
    ]
    path = tmp_path_factory.mktemp("tables") / "trade.json"
    path.write_text(json.dumps(entries))
    table = load_table(path, "glue", costs=("parameters", "latency"))
    return table, Pool(table.specs, library_of(table.specs, n_jobs=1), costs=tuple(table.costs))


def test_further_objectives_are_computed_or_read(trade):
    table, _ = trade
    assert np.isnan(table.gains).sum() == np.isnan(table.costs["latency"]).sum() == 6
    known = ~np.isnan(table.gains)
    assert (table.costs["parameters"][known] == cost_of(table.specs, 128).parameters[known]).all()
    assert set(table.costs["latency"][known]) == {2.0, 4.0}
    assert table.outcomes.shape == (60, 3)
    assert (table.outcomes[known, 1] == -table.costs["parameters"][known]).all()


@pytest.mark.parametrize("name", ["boshnas", *(name for name in CONTROLS if name not in ONE_OBJECTIVE)])
def test_searchers_do_with_several_objectives(name, trade):
    table, pool = trade
    one, two = (replay(name, table, pool, num_queries=16, seed=3) for _ in range(2))
    assert (one.volume == two.volume).all()
    assert (np.diff(one.volume) >= 0).all()
    assert 0.3 < one.volume[-1] <= 1


def test_hypervolumes_are_areas():
    outcomes = np.array([[0.0, -10.0], [4.0, -10.0], [2.0, -5.0], [1.0, 0.0], [np.nan, np.nan]])
    # In units of 4 and 10: 0.5 of the square is under the point (2, 5), 0.25 more under (1, 0); (4, 10) adds nothing.
    assert volume_shares(outcomes, [0, 1, 2, 4, 3]) == pytest.approx([0, 0, 2 / 3, 2 / 3, 1])


def test_models_beat_chance_in_hypervolume(trade):
    table, pool = trade

    def share(name: str, seeds: int) -> float:
        return float(np.mean([replay(name, table, pool, num_queries=20, seed=s).volume[-1] for s in range(seeds)]))

    assert share("boshnas", 2) > 0.97 > share("random", 10)


def test_hypervolumes_are_printed_and_written(path, tmp_path):
    out, plot = tmp_path / "out.json", tmp_path / "curves.svg"
    flags = ["--queries", "20", "--seeds", "2", "--n_jobs", "1", "--out", str(out), "--plot", str(plot)]
    benchmark(["--table", str(path), "--objectives", "score", "parameters", "--searchers", "random", *flags])
    figures = json.loads(out.read_text())
    assert figures["objectives"] == ["score", "parameters"]
    volume = figures["searchers"]["random"]["hypervolume"]
    assert list(volume) == ["10", "20"]
    assert 0 < volume["10"]["mean"] <= volume["20"]["mean"] <= 1
    assert "hypervolume missing in score, parameters" in plot.read_text()


def test_settings_of_boshnas_follow_a_colon(table, pool):
    one, other = (replay(name, table, pool, num_queries=14, seed=0) for name in ("boshnas", "boshnas:num_largest=0"))
    assert (one.regret != other.regret).any()
    with pytest.raises(ValueError, match="must be probabilities that add up to at most 1. Got 0.9, 0.9"):
        check_searcher("boshnas:alpha=0.9,beta=0.9")


def test_surrogates_are_judged_by_what_they_did_not_see(path, tmp_path):
    out = tmp_path / "quality.json"
    flags = ["--observed", "10", "30", "--seeds", "2", "--out", str(out)]
    benchmark(["--table", str(path), "--surrogate_quality", "features", *flags])
    figures = json.loads(out.read_text())["surrogates"]
    assert set(figures) == {"features"}
    few, many = figures["features"]["10"], figures["features"]["30"]
    assert set(many) == {"tau", "inside", "seeds"}
    assert many["seeds"] == 2
    assert few["tau"]["mean"] < many["tau"]["mean"]
    assert many["tau"]["mean"] > 0.7  # the score is a sum over features
    inside = list(many["inside"].values())
    assert list(many["inside"]) == ["50%", "80%", "95%"]
    assert inside == sorted(inside)
    assert inside[-1] >= 0.8


def test_a_surrogate_of_noise_finds_nothing(table):
    rng = np.random.default_rng(0)
    noise = Table(metric="noise", specs=table.specs, gains=rng.standard_normal(60), minimize=False)
    library = library_of(table.specs, n_jobs=1)
    figures = surrogate_quality(noise, library, ["features"], counts=[40], seeds=[0], progress=lambda done, total: None)
    found = figures["surrogates"]["features"]["40"]
    assert found["tau"]["mean"] < 0.1
    assert 0.35 <= found["inside"]["50%"] <= 0.65
    assert found["inside"]["95%"] >= 0.85


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--surrogate_quality", "feature"],
            "'surrogate_quality' must be one of .* Did you mean 'features'",
        ),
        (["--surrogate_quality", "--observed", "61"], "between 3 and the 60 scores of the table. Got 61"),
    ],
    ids=["surrogate", "observed"],
)
def test_bad_flags_of_surrogate_quality_are_refused(flags, message, path):
    with pytest.raises(ValueError, match=message):
        benchmark(["--table", str(path), *flags])


def test_a_curve_that_reaches_zero_is_drawn():
    picture = draw_curves({"a<b": np.array([1.0, 0.1, 0.0])}, title="t")
    assert "a&lt;b" in picture
    assert "nan" not in picture


def test_the_default_searcher_finds_the_best_of_the_development_table(shared):
    table = load_table(shared / "data" / "nas" / "nasbench_bert_dev.json", "glue")
    pool = Pool(table.specs, library_of(table.specs, n_jobs=1))
    assert len(table) == 297
    assert replay("boshnas", table, pool, num_queries=50, seed=0).regret[-1] <= 0.05
