"""Words and questions: every kind of task trained for real at tiny size, saved with its head, and inherited."""

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from dataset import PreparedData
from dataset.prepare import DataOptions
from design_space import ModelSpec
from flexibert import FlexiBERTForQuestionAnswering, FlexiBERTForTokenClassification, builtin_morphisms
from search import Candidate, Origin
from search.training.collators import collator
from search.training.evaluate import evaluate, predict
from search.training.initial_weights import initial_model
from search.training.recipe import Recipe, TrainingJob
from search.training.task_heads import joined, model_config
from search.training.train import train_candidate
from tests.search.optimizer.test_offspring import children

NAMES = ("Anna", "Omar", "Ines", "Paul")
CITIES = ("Oslo", "Lima", "Bonn", "Kyiv")
CLASSES = {"words.jsonl": FlexiBERTForTokenClassification, "questions.jsonl": FlexiBERTForQuestionAnswering}
RECIPE = Recipe(pretrain_steps=2, pretrain_batch_size=4, max_length=32, epochs=3, batch_size=4, learning_rate=1e-2)


def _spec(hidden: int = 16, operation: str = "sa") -> ModelSpec:
    parameter = {"sa": "sdp", "l": "dct"}[operation]
    return ModelSpec.from_dict(
        {"l": 2, "o": [operation] * 2, "h": [hidden] * 2, "n": [2] * 2, "f": [[32]] * 2, "p": [parameter] * 2}
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreparedData]:
    folder, rng = tmp_path_factory.mktemp("inputs"), random.Random(0)
    words, questions = [], []
    for number in range(120):
        name, city = rng.choice(NAMES), rng.choice(CITIES)
        filler = " ".join(["and", "so", "on"] * (number % 3))
        text = f"then {name} went to {city} {filler}".strip()
        tags = ["B-PER" if word == name else "B-LOC" if word == city else "O" for word in text.split()]
        words.append({"tokens": text.split(), "tags": tags})
        answers = {"text": [city], "answer_start": [text.index(city)]}
        questions.append(
            {"question": f"where did {name} go {number}", "context": f"{text} {number}", "answers": answers}
        )
    (folder / "corpus.txt").write_text("\n".join(row["context"] for row in questions))
    found = {}
    for name, rows in (("words.jsonl", words), ("questions.jsonl", questions)):
        (folder / name).write_text("\n".join(map(json.dumps, rows)))
        options = DataOptions(task=str(folder / name), corpus=(folder / "corpus.txt",), vocab_size=400, max_length=32)
        found[name] = options.prepare(folder / f"prepared-{name}", Console(quiet=True))
    return found


def _job(data: PreparedData, folder: Path, spec: ModelSpec, origin: Origin | None = None, trial: str = "t0001"):
    return TrainingJob(
        trial=trial,
        candidate=Candidate(spec, origin or Origin()),
        data_dir=str(data.path),
        models_dir=str(folder / "models"),
        work_dir=str(folder / "work" / trial),
        recipe=RECIPE,
        seed=3,
    )


@pytest.mark.integration
@pytest.mark.parametrize(("name", "operation"), [("words.jsonl", "sa"), ("questions.jsonl", "l")])
def test_a_candidate_learns_and_its_score_is_that_of_the_saved_model(name, operation, prepared, tmp_path):
    data, spec = prepared[name], _spec(operation=operation)
    result = train_candidate(_job(data, tmp_path, spec), lambda _: None)
    assert result.score > 0.8  # the word alone tells its tag, and which is the answer
    folder = tmp_path / "models" / spec.hash
    assert evaluate(folder, data, "validation") == pytest.approx(
        {
            metric: result.objectives[metric]
            for metric in data.measure(predict(folder, data, "validation"), "validation")
        }
    )
    assert result.score == result.objectives[data.metric]
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == [CLASSES[name].__name__]
    model, loading = CLASSES[name].from_pretrained(folder, output_loading_info=True)
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    if name == "words.jsonl":
        assert set(model.config.id2label.values()) == {"O", "B-PER", "B-LOC"}
    auto = {"words.jsonl": "AutoModelForTokenClassification", "questions.jsonl": "AutoModelForQuestionAnswering"}[name]
    assert f"model = {auto}.from_pretrained" in (folder / "README.md").read_text()


def test_a_model_of_questions_says_whether_they_may_have_no_answer(prepared, tmp_path):
    data = prepared["questions.jsonl"]
    assert model_config(_job(data, tmp_path, _spec()), data).may_lack_answers is False
    lacking = dataclasses.replace(data, may_lack_answers=True)
    assert model_config(_job(lacking, tmp_path, _spec()), lacking).may_lack_answers is True


@pytest.mark.integration
@pytest.mark.parametrize("name", CLASSES)
def test_every_origin_keeps_the_head(name, prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(builtin_morphisms, "MERGING_STEPS", 3)
    monkeypatch.setattr(builtin_morphisms, "EXAMPLES", 1)
    data, parents = prepared[name], [_spec(), _spec(hidden=32)]
    for spec in parents:
        CLASSES[name](model_config(_job(data, tmp_path, spec), data)).save_pretrained(tmp_path / "models" / spec.hash)
    born = children(parents, ["prune", "stitch", "merge"])
    born.append(Candidate(_spec(hidden=64), Origin("transfer", parents[0].hash)))
    assert {child.origin.name for child in born} == {"prune", "stitch", "merge", "transfer"}
    for child in born:
        job = _job(data, tmp_path, child.spec, child.origin)
        model, overlap = initial_model(job, data, model_config(job, data))
        assert type(model) is CLASSES[name]
        assert model.config.model_spec == child.spec
        assert 0 < overlap <= 1
        if child.origin.name == "merge":  # of the same width: the head is the parent's
            parent = CLASSES[name].from_pretrained(tmp_path / "models" / child.origin.parents[0])
            head = [key for key in parent.state_dict() if not key.startswith("bert.")]
            assert head
            assert all(model.state_dict()[key].equal(parent.state_dict()[key]) for key in head)


def test_batches_hold_what_a_model_takes_and_labels_of_words_are_padded(prepared):
    words, questions = prepared["words.jsonl"], prepared["questions.jsonl"]
    rows = sorted(words.split("train"), key=lambda row: len(row["input_ids"]))
    batch = collator(words, _spec())([rows[0], rows[-1]])
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    assert batch["labels"].shape == batch["input_ids"].shape
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()
    fixed = collator(words, _spec(operation="l"))([rows[0]])
    assert fixed["labels"].shape == fixed["input_ids"].shape == (1, 32)
    batch = collator(questions, _spec())([questions.split("train")[0], questions.split("train")[1]])
    assert {"start_positions", "end_positions"} < set(batch)
    assert not {"example", "starts", "ends"} & set(batch)


def test_outputs_of_batches_of_different_lengths_are_joined(prepared):
    short, long = np.ones((2, 3, 5)), np.zeros((1, 4, 5))
    words = joined([short, long], prepared["words.jsonl"])
    assert words.shape == (3, 4, 5)
    assert (words[:2, 3] == -100).all()
    spans = joined([np.ones((2, 2, 3)), np.zeros((1, 2, 7))], prepared["questions.jsonl"])
    assert spans.shape == (3, 2, 7)
    assert (spans[:2, :, 3:] == -100).all()
