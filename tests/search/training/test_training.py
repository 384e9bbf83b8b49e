"""Training one candidate for real, at tiny size."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

import search.training.result
from dataset.prepare import DataOptions
from design_space import ModelSpec
from flexibert import FlexiBERTForSequenceClassification, Latency, measure_latency
from search import Candidate, Origin
from search.training.collators import collator
from search.training.evaluate import evaluate
from search.training.recipe import Recipe, TrainingJob
from search.training.result import speed_again
from search.training.retries import train_with_retries
from search.training.train import last_checkpoint, train_candidate

RECIPE = Recipe(pretrain_steps=12, epochs=2, batch_size=16, max_length=16)


def _spec(hidden: int = 16, operation: str = "sa", parameter: str = "sdp") -> ModelSpec:
    return ModelSpec.from_dict(
        {"l": 2, "o": [operation] * 2, "h": [hidden] * 2, "n": [2] * 2, "f": [[32]] * 2, "p": [parameter] * 2}
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rows = [f"a {'fine' if i % 2 else 'dull'} story number {i},{'good' if i % 2 else 'bad'}" for i in range(200)]
    (folder / "films.csv").write_text("\n".join(["review,verdict", *rows]))
    (folder / "corpus.txt").write_text("\n".join(f"a story about people, number {i}" for i in range(200)))
    options = DataOptions(
        task=str(folder / "films.csv"), corpus=(folder / "corpus.txt",), vocab_size=300, max_length=16
    )
    return options.prepare(folder / "prepared", Console(quiet=True))


def _job(
    data, folder: Path, spec: ModelSpec, origin: Origin | None = None, recipe: Recipe = RECIPE, trial: str = "t0001"
) -> TrainingJob:
    return TrainingJob(
        trial=trial,
        candidate=Candidate(spec, origin or Origin()),
        data_dir=str(data.path),
        models_dir=str(folder / "models"),
        work_dir=str(folder / "work" / trial),
        recipe=recipe,
        seed=3,
    )


def test_a_job_survives_its_way_to_the_worker(data, tmp_path):
    job = _job(data, tmp_path, _spec(), Origin("transfer", "ab" * 32))
    assert TrainingJob.from_json(job.to_json()) == job


@pytest.mark.integration
def test_a_candidate_from_scratch_learns_and_its_score_is_that_of_the_saved_model(data, tmp_path):
    reports = []
    job = _job(data, tmp_path, _spec(), recipe=dataclasses.replace(RECIPE, learning_rate=1e-2, epochs=6))
    result = train_candidate(job, reports.append)
    assert result.score > 0.9  # one word tells; the majority has a half
    assert result.overlap == 0
    folder = tmp_path / "models" / _spec().hash
    assert evaluate(folder, data, "validation")["accuracy"] == pytest.approx(result.score)
    model = FlexiBERTForSequenceClassification.from_pretrained(folder)
    assert result.objectives["parameters"] == sum(p.numel() for p in model.parameters())
    assert {report["phase"] for report in reports} == {"pretrain", "fine-tune"}
    assert any("validation_score" in report for report in reports)
    speeds = [report["tokens_per_s"] for report in reports if "loss" in report]
    assert min(speeds) > 100
    assert [path.name for path in (tmp_path / "models").iterdir()] == [_spec().hash]
    assert not (tmp_path / "work" / "t0001").exists()
    card = (folder / "README.md").read_text()
    assert "Pre-trained from scratch for 12 steps" in card
    assert json.dumps(_spec().to_dict()) in card


@pytest.mark.integration
def test_speed_is_that_of_the_saved_model_loaded_again_and_says_how_it_was_measured(data, tmp_path, monkeypatch):
    measured = []

    def measure(model, **options):
        measured.append((Path(model.name_or_path).name, model.dtype, model.training))
        return measure_latency(model, **options)

    monkeypatch.setattr(search.training.result, "measure_latency", measure)
    result = train_candidate(_job(data, tmp_path, _spec()), lambda _: None)
    assert measured == [(f".{_spec().hash}.t0001", torch.float32, False)]  # the folder before it was renamed
    low, median, high = (result.objectives[f"latency_{name}ms"] for name in ("low_", "", "high_"))
    assert 0 < low <= median <= high
    how = {name: result.speed[name] for name in ("batch_size", "length", "threads", "device", "repeats")}
    assert how == {"batch_size": 8, "length": 16, "threads": 1, "device": "cpu", "repeats": 9}
    card = (tmp_path / "models" / _spec().hash / "README.md").read_text()
    assert f"A forward pass takes {Latency(**result.speed)}" in card
    again = speed_again(tmp_path / "models" / _spec().hash, data)
    assert again is not None
    assert again.low_ms > 0
    assert {name: again._asdict()[name] for name in how} == how
    assert speed_again(tmp_path, data) is None


@pytest.mark.integration
@pytest.mark.parametrize("parameter", ["dft", "dct"])
def test_linear_transforms_score_the_same_when_the_saved_model_is_measured_again(data, tmp_path, parameter):
    spec = _spec(operation="l", parameter=parameter)
    recipe = dataclasses.replace(RECIPE, learning_rate=1e-2, epochs=3)
    result = train_candidate(_job(data, tmp_path, spec, recipe=recipe), lambda _: None)
    assert evaluate(tmp_path / "models" / spec.hash, data, "validation")["accuracy"] == pytest.approx(result.score)
    batches = collator(data, spec)([{"input_ids": [2, 9, 3], "attention_mask": [1, 1, 1]}])
    assert batches["input_ids"].shape == (1, 16)
    assert collator(data, _spec())([{"input_ids": [2, 9, 3], "attention_mask": [1, 1, 1]}])["input_ids"].shape == (1, 3)


@pytest.mark.integration
def test_a_transferred_candidate_starts_from_its_parent_and_is_not_pretrained(data, tmp_path):
    train_candidate(_job(data, tmp_path, _spec()), lambda _: None)
    reports = []
    child = _job(data, tmp_path, _spec(operation="sa", hidden=32), Origin("transfer", _spec().hash), trial="t0002")
    result = train_candidate(child, reports.append)
    assert 0.3 < result.overlap < 0.5  # the leading quarter of its matrices and half of its vectors
    assert {report["phase"] for report in reports} == {"fine-tune"}
    assert _spec().hash in (tmp_path / "models" / _spec(hidden=32).hash / "README.md").read_text()


@pytest.mark.integration
def test_a_job_whose_model_is_saved_is_not_trained_again(data, tmp_path):
    first = train_candidate(_job(data, tmp_path, _spec()), lambda _: None)
    weights = tmp_path / "models" / _spec().hash / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert train_candidate(_job(data, tmp_path, _spec()), lambda _: pytest.fail("trained again")) == first
    assert weights.stat().st_mtime_ns == written


@pytest.mark.integration
def test_a_job_cut_off_goes_on_to_the_result_of_a_straight_run(data, tmp_path):
    straight = train_candidate(_job(data, tmp_path / "straight", _spec()), lambda _: None)

    class PowerCut(Exception):
        pass

    def cut(report: dict) -> None:
        if report["phase"] == "fine-tune" and report["progress"] > 0.5:
            raise PowerCut

    job = _job(data, tmp_path / "cut", _spec())
    with pytest.raises(PowerCut):
        train_candidate(job, cut)
    assert (tmp_path / "cut" / "work" / "t0001" / "pretrain" / "done").exists()
    phases = []
    resumed = train_candidate(job, lambda report: phases.append(report["phase"]))
    assert "pretrain" not in phases
    assert resumed.score == straight.score
    a, b = (
        FlexiBERTForSequenceClassification.from_pretrained(tmp_path / run / "models" / _spec().hash).state_dict()
        for run in ("straight", "cut")
    )
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


@pytest.mark.integration
def test_a_job_goes_on_after_a_kill_in_the_middle_of_writing_any_file_of_ours(data, tmp_path, monkeypatch):
    straight = train_candidate(_job(data, tmp_path / "straight", _spec()), lambda _: None)

    class PowerCut(Exception):
        pass

    num_cuts, torn, replace = 0, set(), Path.replace

    def write_in_place(path: Path, text: str, **_: object) -> None:
        with path.open("w") as stream:  # which empties it
            cut(path)
            stream.write(text)

    def put_in_place(path: Path, target: Path) -> Path:
        cut(target)
        return replace(path, target)

    def cut(path: Path) -> None:
        if path.name not in torn:
            torn.add(path.name)
            raise PowerCut

    monkeypatch.setattr(Path, "write_text", write_in_place)
    monkeypatch.setattr(Path, "replace", put_in_place)
    while True:  # each file is torn the first time it is written
        try:
            resumed = train_candidate(_job(data, tmp_path / "cut", _spec()), lambda _: None)
            break
        except PowerCut:
            num_cuts += 1
    assert {"seconds", "figures.json", "training.json", "README.md"} <= torn
    assert num_cuts == len(torn)
    assert resumed.score == straight.score
    assert train_candidate(_job(data, tmp_path / "cut", _spec()), lambda _: None) == resumed


def test_a_torn_checkpoint_is_removed_and_the_newest_whole_one_taken(tmp_path):
    for number, state in ((10, "{}"), (9, "{}"), (20, None), (30, ""), (40, '{"best_global_step": 40, "epo')):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        (folder / "model.safetensors").touch()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]
    assert last_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.integration
def test_autotune_keeps_the_best_of_its_recipes(data, tmp_path):
    tuned = train_candidate(
        _job(data, tmp_path / "tuned", _spec(), recipe=dataclasses.replace(RECIPE, autotune_trials=3)), lambda _: None
    )
    plain = train_candidate(_job(data, tmp_path / "plain", _spec()), lambda _: None)
    assert tuned.score >= plain.score
    assert evaluate(tmp_path / "tuned" / "models" / _spec().hash, data, "validation")["accuracy"] == pytest.approx(
        tuned.score
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "'epochs' must be a whole number of at least 1. Got 0"),
        ({"pretrain_steps": -1}, "'pretrain_steps' must be a whole number of at least 0. Got -1"),
        ({"transfer_mode": "XX"}, "'transfer_mode' must be one of consistent, OD, RP. Got 'XX'"),
        ({"learning_rate": -1.0}, "'learning_rate' must be a finite number of at least 0. Got -1.0"),
    ],
    ids=["epochs", "steps", "mode", "rate"],
)
def test_a_bad_recipe_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**options)


@pytest.mark.integration
def test_a_training_that_diverges_is_tried_slower_and_given_up(data, tmp_path):
    reports = []
    recipe = dataclasses.replace(RECIPE, learning_rate=1e30, warmup_share=0.0, pretrain_steps=0)
    explained = train_with_retries(_job(data, tmp_path, _spec(), recipe=recipe), reports.append)
    assert "training diverged: the loss is nan" in explained
    assert [report["note"].split(":")[0] for report in reports if "note" in report] == ["training diverged"]
