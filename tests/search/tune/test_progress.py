"""What a user sees of a run, in a terminal and in a file."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from search import Candidate, Origin
from search.tune.progress import ProgressCallback


@pytest.fixture
def trials(tiny_library):
    return [
        SimpleNamespace(config={"trial": f"t{i}", **Candidate(tiny_library.specs[i], Origin()).to_dict()})
        for i in range(3)
    ]


def _shown(trials, *, terminal: bool, **options: Any) -> str:
    stream = io.StringIO()
    progress = ProgressCallback(
        Console(file=stream, force_terminal=terminal, width=150, color_system=None),
        max_trials=3,
        num_finished=0,
        best=None,
        **options,
    )
    progress.setup()
    for trial in trials:
        progress.on_trial_start(0, trials, trial)
    progress.on_trial_result(
        0, trials, trials[0], {"phase": "pretrain", "progress": 0.4, "loss": 3.21, "tokens_per_s": 1234.5}
    )
    progress.on_trial_result(0, trials, trials[0], {"phase": "retry", "progress": 0.0, "note": "out of memory"})
    trials[1].last_result = {"score": 0.71, "objectives": {"parameters": 2e6}, "cost_s": 30.0}
    trials[2].last_result = {"score": float("nan"), "error": "Traceback ...\nValueError: bad parent"}
    for trial in trials[1:]:
        progress.on_trial_complete(0, trials, trial)
    progress.close()
    return stream.getvalue()


def test_a_file_gets_a_line_for_every_event(trials):
    lines = [line.split(" ", 1)[1] for line in _shown(trials, terminal=False).splitlines()]
    assert [line.split()[:2] for line in lines] == [
        ["t0", "starts"], ["t1", "starts"], ["t2", "starts"], ["t0", "again"], ["t1", "finished"], ["t2", "failed"],
    ]  # fmt: skip
    assert "score 0.7100, 2.00M parameters, 30 s; best 0.7100 (t1), 1 of 3" in lines[4]
    assert "ValueError: bad parent (its traceback is in the journal)" in lines[5]


@pytest.mark.parametrize(
    ("requeued", "expected"),
    [({"t0"}, "t0 again    the worker died"), (set(), "t0 failed   (its traceback is in the journal)")],
)
def test_a_trial_that_is_tried_again_is_told_from_one_that_failed(trials, tmp_path, requeued, expected):
    stream, (trial, *_) = io.StringIO(), trials
    console = Console(file=stream, width=150, color_system=None)
    progress = ProgressCallback(console, max_trials=3, requeued=requeued, num_finished=0, best=None)
    (tmp_path / "error.txt").write_text("Traceback ...\nthe worker died\n")
    trial.error_file = str(tmp_path / "error.txt")
    progress.on_trial_error(0, trials, trial)
    assert stream.getvalue().strip().endswith(expected)


def test_quiet_tells_failures_only(trials):
    lines = _shown(trials, terminal=True, quiet=True).splitlines()
    assert [line.split()[1:3] for line in lines] == [["t0", "again"], ["t2", "failed"]]


def test_the_surrogate_is_judged_by_what_it_predicted(trials):
    outcomes = [(0.5, 0.1, 0.4), (0.6, 0.1, 0.7), (0.7, 0.1, 0.6)]
    assert "surrogate" not in _shown(trials, terminal=True, prediction_outcomes=outcomes)
    shown = _shown(trials, terminal=True, prediction_outcomes=[*outcomes, (0.8, 0.01, 0.9)])
    assert "surrogate: rank correlation 0.80, 3 of 4 in the 95 % interval" in shown
    assert "surrogate: 4 of 4 in the" in _shown(trials, terminal=True, prediction_outcomes=[(0.5, 0.1, 0.4)] * 4)


def test_a_status_line_in_a_file_tells_throughput(trials, monkeypatch):
    monkeypatch.setattr("search.tune.progress._LINE_S", -1.0)
    lines = _shown(trials, terminal=False).splitlines()
    assert any(
        line.endswith("training t0 pretrain 40% loss 3.210 tokens/s 1,234; t1 starting 0%; t2 starting 0%")
        for line in lines
    )
    assert any("trials an hour, about" in line for line in lines)


def test_a_terminal_shows_what_is_training_and_the_time_left(trials):
    shown = _shown(trials, terminal=True)
    assert "3.210" in shown
    assert "1,234" in shown
    assert "trials an hour" in shown
    assert "best 0.7100 (t1), 1 of 3" in shown
    assert "about 60 s left" in shown  # two more, one at a time, of 30 s
