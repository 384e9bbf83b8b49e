"""The searcher inside a real Ray Tune, with trainables that succeed, fail and diverge on purpose."""

import json
import math

import pytest
from ray import tune
from ray.tune.search import Repeater

from search import BOSHNAS, BOSHNASSearch, BOSHNASSettings, Candidate
from search.records.journal import Journal
from search.tune.cluster import ray_cluster
from search.tune.journal_callback import JournalCallback
from search.tune.learning_curves import LearningCurves

SETTINGS = BOSHNASSettings(num_init=3, surrogate="gp")


def _search(library, journal=None, **options) -> BOSHNASSearch:
    return BOSHNASSearch(BOSHNAS(library, seed=0, settings=SETTINGS), journal=journal, **options)


def _replayed(library, journal, **options) -> BOSHNASSearch:
    search = _search(library, journal, **options)
    search.replay(list(journal.events()))
    return search


def _finish(search: BOSHNASSearch, trial_id: str, score: float) -> None:
    search.on_trial_complete(trial_id, {"score": score, "objectives/parameters": 5, "cost_s": 1.5})


def test_it_proposes_up_to_its_concurrency_and_its_number_of_trials(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    search = _search(tiny_library, journal, max_trials=3, max_concurrent=2)
    first = search.suggest("a")
    assert first["trial"] == "t0001"
    assert Candidate.from_dict(first).spec.hash == first["hash"]
    assert search.suggest("b")["trial"] == "t0002"
    assert search.suggest("c") is None
    _finish(search, "a", 0.5)
    assert search.suggest("c")["trial"] == "t0003"
    _finish(search, "b", 0.6)
    assert search.suggest("d") is None  # the last is still running, and may fail
    _finish(search, "c", 0.7)
    assert search.suggest("d") == "FINISHED"
    finished = [event for event in journal.events() if event["event"] == "finished"]
    assert [event["score"] for event in finished] == [0.5, 0.6, 0.7]
    assert finished[0]["objectives"] == {"parameters": 5.0}
    assert finished[0]["cost_s"] == 1.5


def test_it_ends_when_the_trials_have_trained_long_enough_also_after_a_replay(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    search = _search(tiny_library, journal, max_seconds=3.0)
    search.suggest("a")
    _finish(search, "a", 0.5)  # 1.5 s each
    search.suggest("b")
    search.suggest("c")
    _finish(search, "b", 0.6)
    assert search.suggest("d") is None
    again = _search(tiny_library, journal, max_seconds=3.0)
    again.replay(list(journal.events()))
    assert again.suggest("x")["trial"] == "t0003"  # it was in flight
    _finish(again, "x", 0.7)
    assert again.suggest("y") == "FINISHED"
    assert again.is_over
    assert not _replayed(tiny_library, journal, max_seconds=5.0).is_over
    longer = _search(tiny_library, journal, max_seconds=5.0)
    longer.replay(list(journal.events()))
    assert longer.suggest("z")["trial"] == "t0004"


def test_a_search_is_not_over_while_a_trial_is_in_flight(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    search = _search(tiny_library, journal, max_seconds=1.0)
    search.suggest("a")
    search.suggest("b")
    _finish(search, "a", 0.5)
    assert not _replayed(tiny_library, journal, max_seconds=1.0).is_over
    _finish(search, "b", 0.5)
    assert _replayed(tiny_library, journal, max_seconds=1.0).is_over


def test_seconds_of_trials_without_a_score_count_too(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    search = _search(tiny_library, journal, max_seconds=10.0)
    search.suggest("a")
    search.on_trial_complete("a", {"validation_score": 0.1, "epoch": 1.0, "time_total_s": 12.0})
    assert search.seconds_spent == 12.0
    assert search.suggest("b") == "FINISHED"
    assert _replayed(tiny_library, journal, max_seconds=10.0).seconds_spent == 12.0


def test_a_failed_trial_is_replaced_by_another(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    search = _search(tiny_library, journal, max_trials=1, max_concurrent=1)
    bad = search.suggest("a")
    search.on_trial_complete("a", {"score": math.nan})
    good = search.suggest("b")
    assert good["hash"] != bad["hash"]
    _finish(search, "b", 0.5)
    assert [record.state for record in journal.trials().values()] == ["failed", "finished"]
    assert "not a number" in journal.trials()["t0001"].error


def test_what_the_surrogate_expects_is_written_down_before_it_is_known(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    search = _search(tiny_library, journal)
    for number in range(4):
        search.suggest(str(number))
        _finish(search, str(number), number / 10)
    records = list(journal.trials().values())
    assert [record.predicted is None for record in records] == [True, True, True, False]
    mean, deviation = records[3].predicted
    assert 0 <= mean <= 0.3
    assert deviation > 0
    assert search.prediction_outcomes == [(mean, deviation, 0.3)]
    again = _search(tiny_library, journal)
    again.replay(journal.events())
    assert again.prediction_outcomes == search.prediction_outcomes


def test_a_trial_stopped_early_is_no_score(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    search = _search(tiny_library, journal)
    search.suggest("a")
    search.on_trial_complete("a", {"phase": "finetune", "validation_score": 0.41, "epoch": 2.0})
    assert journal.trials()["t0001"].error == "stopped early, at 0.4100 after epoch 2"
    assert search.boshnas.best is None


def test_a_trial_stopped_early_is_told_with_what_others_gained_from_there(tiny_library, tmp_path, monkeypatch):
    """Two that end gain 0.2 and 0.1 after half of their training; one that is stopped at 0.4 is expected at 0.55."""
    told, tell = {}, BOSHNAS.tell

    def noted(boshnas, candidate, score, **options):
        told[candidate.spec.hash] = score
        tell(boshnas, candidate, score, **options)

    monkeypatch.setattr(BOSHNAS, "tell", noted)
    journal = Journal(tmp_path / "journal.jsonl")
    search = _search(tiny_library, journal)
    stopped = _stop_after_two(search, journal)
    assert told[stopped] == pytest.approx(0.55)
    assert stopped not in search.boshnas.trained
    told.clear()
    again = _replayed(tiny_library, journal)
    assert told[stopped] == pytest.approx(0.55)
    assert stopped not in again.boshnas.trained


def test_what_is_expected_of_a_stopped_trial_is_not_above_what_was_reached():
    curves = LearningCurves()
    assert curves.expected(0.5, 0.4) is None
    curves.note("a", 0.5, 0.1)
    curves.end("a", 0.8)
    assert curves.expected(0.5, 0.4) == (0.8, 0.0)
    assert curves.expected(0.25, 0.4) is None


def test_what_is_expected_is_less_certain_than_what_was_reached():
    """It may be off as a score may, and by as much as gains differ: 0.1 and 0.4 by 0.15 * sqrt(2)."""
    curves = LearningCurves()
    curves.note("a", 0.5, 0.5)
    curves.end("a", 0.6, 0.02)
    assert curves.expected(0.5, 0.4) == pytest.approx((0.5, math.hypot(0.02, 0.1)))
    curves.note("b", 0.5, 0.4)
    curves.end("b", 0.8, 0.04)
    assert curves.expected(0.5, 0.4) == pytest.approx((0.65, math.hypot(0.03, 0.15 * math.sqrt(2))))


def test_the_error_of_a_score_is_told_with_it_and_again_from_the_journal(tiny_library, tmp_path, monkeypatch):
    told, tell = {}, BOSHNAS.tell

    def noted(boshnas, candidate, score, *, error, **options):
        told[score] = error
        tell(boshnas, candidate, score, error=error, **options)

    monkeypatch.setattr(BOSHNAS, "tell", noted)
    journal = Journal(tmp_path / "journal.jsonl")
    search = _search(tiny_library, journal)
    for trial_id, score, objectives in (("a", 0.7, {"objectives/score_error": 0.02}), ("b", 0.6, {})):
        search.suggest(trial_id)
        search.on_trial_complete(trial_id, {"score": score, "cost_s": 1.0, **objectives})
    assert told == {0.7: 0.02, 0.6: 0.0}
    told.clear()
    _replayed(tiny_library, journal)
    assert told == {0.7: 0.02, 0.6: 0.0}


def _stop_after_two(search, journal):
    """The hash of what was stopped."""
    for trial_id, (halfway, end) in zip("ab", ((0.5, 0.7), (0.6, 0.7)), strict=True):
        name = search.suggest(trial_id)["trial"]
        _report(search, journal, trial_id, name, halfway)
        _finish(search, trial_id, end)
    config = search.suggest("c")
    _report(search, journal, "c", config["trial"], 0.4)
    search.on_trial_complete("c", {"phase": "fine-tune", "validation_score": 0.4, "progress": 0.5, "epoch": 1.0})
    return config["hash"]


def _report(search, journal, trial_id, name, score):
    """As Tune tells the searcher and our callback the journal."""
    result = {"phase": "fine-tune", "validation_score": score, "progress": 0.5, "epoch": 1.0}
    search.on_trial_result(trial_id, result)
    journal.append("reported", name, validation_score=score, progress=0.5)


def test_it_gives_up_when_everything_fails(tiny_library):
    search = _search(tiny_library, max_trials=10)
    for trial_id in "abc":
        search.suggest(trial_id)
        search.on_trial_complete(trial_id, None, error=True)
    assert search.has_only_failures
    assert search.suggest("d") == "FINISHED"


def test_replaying_a_journal_leads_to_the_same_next_candidate(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    straight = _search(tiny_library, journal)
    for number in range(4):
        straight.suggest(str(number))
        _finish(straight, str(number), number / 10)
    resumed = _search(tiny_library, journal)
    resumed.replay(list(journal.events()))
    assert resumed.suggest("x")["hash"] == straight.suggest("x")["hash"]
    assert resumed.num_finished == 4


def test_trials_in_flight_come_first_after_a_replay_under_their_names(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    before = _search(tiny_library, journal, max_trials=4)
    configs = [before.suggest(trial_id) for trial_id in "abc"]
    _finish(before, "b", 0.5)
    after = _search(tiny_library, journal, max_trials=4)
    after.replay(list(journal.events()))
    again = [after.suggest(trial_id) for trial_id in "xyz"]
    assert again[:2] == [configs[0], configs[2]]
    assert again[2]["trial"] == "t0004"
    assert (
        sum(event["event"] == "suggested" for event in journal.events()) == 4
    )  # those in flight are not suggested twice


def test_save_and_restore_keep_history_and_running_trials(tiny_library, tmp_path):
    search = _search(tiny_library, max_trials=6)
    for trial_id in "abc":
        search.suggest(trial_id)
    _finish(search, "a", 0.4)
    search.save(str(tmp_path / "state"))
    restored = _search(tiny_library, max_trials=6)
    restored.restore(str(tmp_path / "state"))
    _finish(restored, "b", 0.9)
    _finish(search, "b", 0.9)
    assert restored.boshnas.best == search.boshnas.best
    assert restored.suggest("d")["hash"] == search.suggest("d")["hash"]
    restored.set_max_concurrency(2)
    assert restored.suggest("e") is None  # c and d are running


def test_a_trial_whose_workers_die_is_put_back_and_fails_in_the_end(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    search = _search(tiny_library, journal, max_trials=2, max_requeues=1)
    first = search.suggest("a")
    search.on_trial_complete("a", error=True)
    assert search.requeued == {"t0001"}
    assert search.num_failed == 0
    assert search.suggest("b") == first
    search.on_trial_complete("b", error=True)
    assert search.requeued == set()
    assert search.num_failed == 1
    assert search.suggest("c")["trial"] == "t0002"


@pytest.mark.parametrize(
    ("told", "objectives", "cost_s"),
    [
        ({"objectives/latency_ms": math.nan}, {}, 1.5),
        ({"objectives/latency_ms": "fast", "objectives/parameters": 5}, {"parameters": 5.0}, 1.5),
        ({"objectives/energy": math.inf}, {}, 1.5),
        ({"cost_s": math.nan, "time_total_s": 2.0}, {}, 2.0),
        ({"cost_s": -1.0}, {}, 0.0),
    ],
    ids=["nan", "text", "inf", "cost", "negative cost"],
)
def test_a_figure_that_is_no_number_is_left_out_and_said(tiny_library, tmp_path, caplog, told, objectives, cost_s):
    journal = Journal(tmp_path / "journal.jsonl")
    search = _search(tiny_library, journal)
    search.suggest("a")
    search.on_trial_complete("a", {"score": 0.5, "cost_s": 1.5} | told)
    record = journal.trials()["t0001"]
    assert (record.score, record.objectives, record.cost_s) == (0.5, objectives, cost_s)
    assert "t0001: not finite, and left out: " in caplog.text
    search.suggest("b")
    search.on_trial_complete("b", {"score": None})
    assert (search.num_finished, search.num_failed) == (1, 1)


def test_what_should_be_low_is_searched_for(tiny_library):
    search = _search(tiny_library, metric="loss", mode="min")
    for trial_id, loss in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        search.suggest(trial_id)
        search.on_trial_complete(trial_id, {"loss": loss})
    assert search.boshnas.best[1] == -1.0
    with pytest.raises(ValueError, match="'mode' must be 'max' or 'min'. Got 'least'"):
        _search(tiny_library, mode="least")


def test_what_tune_is_told_to_optimise_is_taken_over(tiny_library):
    search = _search(tiny_library)
    assert search.metric is None  # Tune would demand it in every report
    assert search.set_search_properties("loss", "min", {}) is False
    search.suggest("a")
    search.on_trial_complete("a", {"loss": 3.0, "score": 9.0})
    assert search.boshnas.best[1] == -3.0
    with pytest.raises(ValueError, match="'metric' of TuneConfig must be the searcher's, 'loss'. Got 'f1'"):
        search.set_search_properties("f1", None, {})


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")  # Ray's, of no score
def test_repeated_trials_count_once_with_their_mean(tiny_library):
    search = _search(tiny_library, metric="score")
    repeater = Repeater(search, repeat=3)
    for trial_id in "abc":
        repeater.suggest(trial_id)
    for trial_id, score in (("a", 0.5), ("b", 0.6), ("c", 0.7)):
        repeater.on_trial_complete(trial_id, {"score": score})
    assert (search.num_finished, search.num_failed) == (1, 0)
    assert search.boshnas.best[1] == pytest.approx(0.6)
    unknowing = Repeater(_search(tiny_library), repeat=1)
    unknowing.suggest("a")
    with pytest.raises(ValueError, match=r"must know what is optimised: BOSHNASSearch\(metric=...\)"):
        unknowing.on_trial_complete("a", {"score": 0.5})


def test_a_trial_that_failed_is_taken_when_it_is_run_again(tiny_library, tmp_path, caplog):
    """As ``Tuner.restore(resume_errored=True)`` does, under the names that Tune knows."""
    search = _search(tiny_library)
    for trial_id in "ab":
        search.suggest(trial_id)
    _finish(search, "a", 0.5)
    search.on_trial_complete("b", error=True)
    search.save(str(tmp_path / "state"))
    again = _search(tiny_library)
    again.restore(str(tmp_path / "state"))
    again.on_trial_complete("b", error=True)
    assert (again.num_finished, again.num_failed) == (1, 1)
    _finish(again, "b", 0.6)
    assert (again.num_finished, again.num_failed) == (2, 0)
    assert again.boshnas.best[1] == 0.6
    _finish(again, "a", 0.9)
    _finish(again, "strange", 0.9)
    assert (again.num_finished, again.boshnas.best[1]) == (2, 0.6)
    assert "'strange', which was never proposed" in caplog.text
    last = _search(tiny_library)
    again.save(str(tmp_path / "state"))
    last.restore(str(tmp_path / "state"))
    assert (last.num_finished, last.num_failed) == (2, 0)


def _trainable():
    """A function that dies the first time with one architecture, fails on another, diverges on a third, and scores the
    others by their depth. It is defined in here, so that workers take its code and import none of ours."""

    def train(config):
        import os
        from pathlib import Path

        from ray import tune

        if config["trial"] == "t0003" and not (died := Path(config["folder"]) / "died").exists():
            died.touch()
            os._exit(1)
        if config["trial"] == "t0001":
            raise RuntimeError("the worker met an accident")
        if config["trial"] == "t0002":
            tune.report({"score": float("nan")})
            return
        tune.report({"phase": "fine-tune", "progress": 0.5, "loss": 1.0})
        tune.report({"score": config["spec"]["l"] / 4, "objectives": {"parameters": 7.0}, "cost_s": 0.1})

    return train


@pytest.mark.integration
def test_tune_runs_it_and_the_journal_accounts_for_every_trial(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")

    def make_config(trial, candidate):
        return candidate.to_dict() | {"folder": str(tmp_path)}

    search = _search(tiny_library, journal, max_trials=4, max_concurrent=2, max_requeues=1, make_config=make_config)
    with ray_cluster(None):
        tune.Tuner(
            _trainable(),
            tune_config=tune.TuneConfig(search_alg=search, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=str(tmp_path / "tune"), callbacks=[JournalCallback(journal, search.requeued)], verbose=0
            ),
        ).fit()
    assert search.boshnas.best is not None
    assert search.num_finished == 4
    records = Journal(tmp_path / "journal.jsonl").trials()
    assert (tmp_path / "died").exists()
    states = [record.state for record in records.values()]
    assert states[:3] == ["failed", "failed", "finished"]
    assert states.count("finished") == 4
    failed = [event["trial"] for event in Journal(tmp_path / "journal.jsonl").events() if event["event"] == "failed"]
    assert failed.count("t0003") == 0
    assert "the worker met an accident" in records["t0001"].error
    assert "not a number" in records["t0002"].error
    events = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert {"event": "reported", "loss": 1.0, "phase": "fine-tune"}.items() <= next(
        e for e in events if e["event"] == "reported"
    ).items()


def test_a_time_that_is_predicted_has_no_interval_of_the_one_that_was_measured(tiny_library, tmp_path):
    boshnas = BOSHNAS(
        tiny_library,
        settings=SETTINGS,
        constraints={"latency_ms": 9.0},
        exact={"latency_ms": lambda specs: [5.0] * len(specs)},
    )
    journal = Journal(tmp_path / "journal.jsonl")
    search = BOSHNASSearch(boshnas, journal=journal)
    search.suggest("a")
    measured = {"objectives/latency_ms": 7.0, "objectives/latency_low_ms": 6.5, "objectives/latency_high_ms": 7.5}
    search.on_trial_complete("a", {"score": 0.5, "cost_s": 1.5, "objectives/accuracy": 0.5} | measured)
    assert journal.trials()["t0001"].objectives == {"accuracy": 0.5, "latency_ms": 5.0}
