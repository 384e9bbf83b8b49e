"""``shrink_model`` on a tiny BERT, for real: fine-tuned, screened, searched, distilled, chosen, written."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import flexibert_nas
from design_space import ModelSpec
from search.candidate import Candidate, Origin
from search.records.journal import TrialRecord
from search.records.run_directory import RunDirectory
from search.runs.descent import _refuse_failures
from search.shrink import shrink_model
from tests.search.encoders import write_bert, write_reviews

QUICK = ["--epochs", "12", "--learning_rate", "3e-3", "--max_length", "16", "--screen", "6", "--trials", "1", "--quiet"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "corpus.txt").write_text("the film is good\n" * 20)
    return write_bert(folder / "tiny-bert"), write_reviews(folder / "reviews.csv"), folder / "corpus.txt"


@pytest.fixture(scope="module")
def shrunk(inputs, tmp_path_factory):
    """A model that is at least 1.5 times smaller than the encoder with its word vectors, and where it is."""
    encoder, table, corpus = inputs
    target = tmp_path_factory.mktemp("small") / "small"
    flags = ["--task", str(table), "--corpus", str(corpus), "--smaller", "1.6", "--pooling", "mean"]
    shrink_model([str(encoder), str(target), *flags, *QUICK])
    return target


@pytest.mark.integration
def test_a_smaller_model_that_knows_the_task_is_written(inputs, shrunk):
    tokenizer = AutoTokenizer.from_pretrained(shrunk)
    model = AutoModelForSequenceClassification.from_pretrained(shrunk).eval()
    assert sorted(path.name for path in shrunk.parent.iterdir()) == ["small", "small.run"]
    texts = ["the film was good", "a poor film", "the film is fine", "bad is the film"]
    with torch.no_grad():
        found = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.argmax(-1).tolist()
    assert [model.config.id2label[number] for number in found] == ["yes", "no", "yes", "no"]
    root = AutoModelForSequenceClassification.from_pretrained(
        shrunk.with_name("small.run") / "models" / _records(shrunk)[0].candidate.spec.hash
    )
    assert root.num_parameters() / model.num_parameters() >= 1.6
    assert model.config.pooling == "mean"
    card = (shrunk / "README.md").read_text()
    assert "of the score of tiny-bert" in card
    assert "| tiny-bert |" in card


@pytest.mark.integration
def test_the_journal_and_the_report_tell_the_way_from_the_root(inputs, shrunk):
    root, *children = _records(shrunk)
    assert str(root.candidate.origin) == "pretrained(tiny-bert)"
    assert root.candidate.spec.hash in children[0].candidate.origin.parents
    assert all(record.state == "finished" for record in (root, *children))
    run = shrunk.with_name("small.run")
    screened = [json.loads(line) for line in (run / "screened" / "1.jsonl").read_text().splitlines()]
    assert len(screened) == 6
    scores = {one["hash"]: one["score"] for one in screened}
    assert scores[children[0].candidate.spec.hash] == max(scores.values())  # of one trial there is nothing to learn
    report = (run / "report.html").read_text()
    assert "It is the only trained model that keeps the limits." in report
    assert f"<pre>shrink_model {inputs[0]} {shrunk} --smaller 1.6 --task {inputs[1]}" in report
    assert "of the score of tiny-bert" in (run / "summary.md").read_text()
    assert json.loads((run / "teacher.json").read_text())["teacher"] == "root"


@pytest.mark.integration
def test_a_finished_run_gives_its_model_again_without_training(inputs, shrunk, tmp_path):
    encoder, table, corpus = inputs
    before = (shrunk.with_name("small.run") / "journal.jsonl").read_text()
    options = {"corpus": str(corpus), "smaller": 1.6, "pooling": "mean", "run_dir": shrunk.with_name("small.run")}
    quick = {"epochs": 12, "learning_rate": 3e-3, "max_length": 16, "screen": 6, "trials": 1, "quiet": True}
    result = flexibert_nas.shrink(encoder, tmp_path / "again", task=table, **options, **quick)
    assert (shrunk.with_name("small.run") / "journal.jsonl").read_text() == before
    assert (result.best / "model.safetensors").read_bytes() == (shrunk / "model.safetensors").read_bytes()
    assert result.predict(["a good film", "a bad film"]) == ["yes", "no"]
    assert list(result.trials["trial"]) == [record.trial for record in _ranked(shrunk)]
    assert result.front["latency_ms"].is_monotonic_decreasing


@pytest.mark.integration
def test_a_search_from_an_encoder_trains_it_first_and_then_parts_that_were_screened(inputs, tmp_path):
    """Encoder, data, teacher's outputs and models travel through a storage, as between nodes without shared folders."""
    encoder, table, corpus = inputs
    options = {"corpus": str(corpus), "epochs": 2, "learning_rate": 3e-3, "max_length": 16, "pooling": "mean"}
    found = flexibert_nas.search(
        table,
        start_from=encoder,
        run_dir=tmp_path / "run",
        screen=4,
        max_trials=2,
        storage=tmp_path / "away",
        quiet=True,
        **options,
    )
    root, child = RunDirectory(tmp_path / "run").journal.trials().values()
    assert str(root.candidate.origin) == "pretrained(tiny-bert)"
    screened = [json.loads(line) for line in (tmp_path / "run" / "screened" / "1.jsonl").read_text().splitlines()]
    assert child.candidate.spec.hash in {one["hash"] for one in screened}
    assert child.candidate.origin.parents == (root.candidate.spec.hash,)
    assert len(found.trials) == 2
    [away] = (tmp_path / "away").iterdir()
    assert {root.candidate.spec.hash, child.candidate.spec.hash} <= {
        path.name.removesuffix(".tar") for path in away.rglob("*")
    }
    assert found.best == tmp_path / "run" / "best"
    assert "pretrained(tiny-bert)" in (tmp_path / "run" / "summary.md").read_text()


@pytest.mark.integration
def test_a_child_that_was_open_when_the_run_was_cut_still_learns_from_the_teacher(inputs, shrunk, tmp_path):
    encoder, table, corpus = inputs
    cut = tmp_path / "small.run"
    shutil.copytree(shrunk.with_name("small.run"), cut)
    child = RunDirectory(cut).journal.trials()["t0002"].candidate.spec.hash
    events = (cut / "journal.jsonl").read_text().splitlines()
    started = next(
        place
        for place, line in enumerate(events)
        if {"event": "started", "trial": "t0002"}.items() <= json.loads(line).items()
    )
    (cut / "journal.jsonl").write_text("\n".join([*events[: started + 1], ""]))
    for place in (cut / "best", cut / "work", cut / "models" / child):
        shutil.rmtree(place, ignore_errors=True)
    (cut / "levels.json").unlink()
    given = ["--task", str(table), "--corpus", str(corpus), "--pooling", "mean", "--smaller", "1.6", *QUICK]
    shrink_model([str(encoder), str(tmp_path / "small"), *given])
    again, before = (run / "models" / child for run in (cut, shrunk.with_name("small.run")))
    assert "a teacher's outputs were 50% of the loss" in (again / "README.md").read_text()
    assert (again / "model.safetensors").read_bytes() == (before / "model.safetensors").read_bytes()


@pytest.mark.integration
def test_after_a_failure_the_next_best_child_is_trained(inputs, shrunk, tmp_path):
    encoder, table, corpus = inputs
    broken = tmp_path / "small.run"
    shutil.copytree(shrunk.with_name("small.run"), broken)
    events = [json.loads(line) for line in (broken / "journal.jsonl").read_text().splitlines()]
    kept = [event for event in events if event["trial"] == "t0001" or event["event"] in ("suggested", "started")]
    failed = {"event": "failed", "trial": "t0002", "time": kept[-1]["time"], "error": "ValueError: it was the memory"}
    (broken / "journal.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in [*kept, failed]))
    (broken / "levels.json").unlink()
    given = ["--task", str(table), "--corpus", str(corpus), "--pooling", "mean", "--smaller", "1.6", *QUICK]
    with pytest.raises(ValueError, match=r"were trained with 'epochs' 12. Give the same, or another --run_dir"):
        shrink_model([str(encoder), str(tmp_path / "small"), *given, "--epochs", "3"])
    shrink_model([str(encoder), str(tmp_path / "small"), *given])
    states = {record.trial: record.state for record in _records(tmp_path / "small")}
    assert states == {"t0001": "finished", "t0002": "failed", "t0003": "finished"}
    screened = [json.loads(line) for line in (broken / "screened" / "1.jsonl").read_text().splitlines()]
    second = sorted(screened, key=lambda one: -one["score"])[1]["hash"]
    assert json.loads((tmp_path / "small" / "config.json").read_text())["model_dict"]
    assert RunDirectory(broken).journal.trials()["t0003"].candidate.spec.hash == second


def test_failures_are_no_missed_goal():
    spec = ModelSpec.from_dict({"l": 1, "o": ["sa"], "h": [8], "n": [2], "f": [[8]], "p": ["sdp"]})
    failed = TrialRecord("t0002", Candidate(spec, Origin()), "failed", error="Traceback\nValueError: no memory")
    with pytest.raises(
        ValueError, match=r"could be trained \(t0002: ValueError: no memory\). The same command goes on"
    ):
        _refuse_failures([failed])
    _refuse_failures([])
    _refuse_failures([failed, replace(failed, trial="t0003", state="finished", score=0.5, error=None)])  # too slow, say


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "One or more of 'faster', 'smaller', 'latency_ms' and 'max_drop' must be given"),
        (["--faster", "0.5"], "'faster' must be a finite number above 1. Got '0.5'"),
        (["--smaller", "1000"], "No part of the encoder reaches this goal, .*\\n  - 'smaller' must be at most"),
        (["--smaller", "2", "--tokenizer", "train2"], "tokenizer"),
    ],
    ids=["no goal", "no number", "unreachable", "tokenizer"],
)
def test_goals_that_make_no_sense_are_refused(inputs, tmp_path, flags, message):
    encoder, table, corpus = inputs
    given = ["--task", str(table), "--corpus", str(corpus), "--pooling", "cls", *flags, *QUICK]
    with pytest.raises(ValueError, match=message):
        shrink_model([str(encoder), str(tmp_path / "target"), *given])
    assert not (tmp_path / "target").exists()


def _records(target):
    return list(RunDirectory(target.with_name(f"{target.name}.run")).journal.trials().values())


def _ranked(target):
    return sorted(_records(target), key=lambda record: -record.score)
