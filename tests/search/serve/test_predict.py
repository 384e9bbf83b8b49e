"""Texts answered by the best model of a search, through the real application."""

import json
import os
import shutil

import pytest
import torch
from starlette.testclient import TestClient
from transformers import BertTokenizer

from flexibert import FlexiBERTConfig, FlexiBERTForSequenceClassification
from flexibert.__main__ import main
from search.serve import answering
from search.serve.answering import Answerer
from search.serve.app import create_app
from search.serve.reading import BusyError
from tests.search.serve.services import Service, train

LAYERS = {"l": 2, "o": ["sa", "c"], "h": [16, 16], "n": [2, 2], "f": [[32]] * 2, "p": ["sdp", 3]}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"the film is good bad long and short what dull".split(), "##y"]
LABELS = {0: "bad", 1: "so so", 2: "good"}
TEXTS = ["the film is good", "dully\tthe film", "long " * 30, "what"]


def save_model(folder, layers=LAYERS, seed=0):
    """A model with a head and a tokenizer."""
    torch.manual_seed(seed)
    sizes = {"vocab_size": len(WORDS), "max_position_embeddings": 12, "pad_token_id": 0, "initializer_range": 0.5}
    config = FlexiBERTConfig(model_dict=layers, id2label=LABELS, label2id={v: k for k, v in LABELS.items()}, **sizes)
    model = FlexiBERTForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    BertTokenizer(vocab=vocabulary, model_max_length=10).save_pretrained(folder)
    return model


def expected(folder, model, **options):
    """What the model says about ``TEXTS``, each by itself."""
    tokenizer, found = BertTokenizer.from_pretrained(folder), []
    for text in TEXTS:
        inputs = tokenizer(*text.split("\t"), truncation=True, max_length=10, return_tensors="pt", **options)
        with torch.no_grad():
            shares = model(**inputs).logits.softmax(-1)[0]
        found.append((LABELS[int(shares.argmax())], pytest.approx(float(shares.max()), abs=1e-4)))
    return found


@pytest.fixture(scope="module")
def asked(tmp_path_factory, tiny_library):
    """A service with a stopped search, its client and the folder of the best model so far."""
    made = Service(tmp_path_factory.mktemp("service") / "root")
    with made.client:
        folder = made.accepted()
        train(folder, tiny_library)
        folder.end("stopped")
        place = folder.run.models_dir / tiny_library.specs[2].hash
        shutil.rmtree(place)
        yield made, folder, place


def predict(made, folder, texts, **arguments):
    return made.client.post(f"/models/{folder.id}/predict", **(arguments or {"json": {"texts": texts}}))


@pytest.mark.parametrize("operation", ["sa", "l"])
def test_the_best_model_answers(asked, operation):
    made, folder, place = asked
    layers = LAYERS if operation == "sa" else LAYERS | {"o": ["l", "l"], "p": ["dft", "dft"]}
    model = save_model(place, layers)
    answer = predict(made, folder, TEXTS)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["model"], said["runtime"]) == (place.name, "torch")
    padding = {"padding": "max_length"} if operation == "l" else {}
    assert [(one["label"], one["score"]) for one in said["answers"]] == expected(place, model, **padding)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_an_export_beside_it_answers_until_the_model_changes(asked):
    made, folder, place = asked
    model = save_model(place, seed=1)
    target = place.with_name(f"{place.name}-onnx")
    with pytest.raises(SystemExit) as ended:
        main(["export", str(place), str(target)])
    assert not ended.value.code
    said = predict(made, folder, TEXTS).json()
    assert said["runtime"] == "onnx"
    assert [(one["label"], one["score"]) for one in said["answers"]] == expected(place, model)
    model = save_model(place, seed=2)
    said = predict(made, folder, TEXTS).json()
    assert said["runtime"] == "torch"
    assert [(one["label"], one["score"]) for one in said["answers"]] == expected(place, model)
    shutil.rmtree(target)


def test_who_asks_shows_the_token(asked):
    made, folder, _ = asked
    unknown = TestClient(create_app(made.jobs))
    assert unknown.post(f"/models/{folder.id}/predict", json={"texts": ["the film"]}).status_code == 401


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ({"texts": []}, 422, "'texts': List should have at least 1 item"),
        ({"texts": ["a"] * 65}, 422, "'texts': List should have at most 64 items"),
        ({"texts": ["a", ""]}, 422, "'texts.1': String should have at least 1 character"),
        ({"texts": ["a" * 10_001]}, 422, "'texts.0': String should have at most 10000 characters"),
        ({"texts": "the film"}, 422, "'texts': Input should be a valid list"),
        ({"texts": [1, None]}, 422, "'texts.1': Input should be a valid string"),
        ({"texts": ["a"], "model": "/etc"}, 422, "'model': Extra inputs are not permitted"),
        ({}, 422, "'texts': Field required"),
        ({"texts": ["a", "one\ttwo\tthree"]}, 422, "Line 2: A line must hold 1 or 2 texts, with tabs between them"),
        (b'{"texts": ["a \\ud800 b"]}', 422, "'texts.0'"),
        (b'{"texts": ["a', 422, "JSON decode error"),
        (b'{"texts": ' + b"[" * 200_000, 400, ""),
        (b'{"texts": ["' + b"a" * 2**20 + b'"]}', 413, "larger than the 1 MiB"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_texts_are_bounded(asked, content, code, message):
    made, folder, place = asked
    if not (place / "config.json").exists():
        save_model(place)
    headers = {"content-type": "application/json"}
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = predict(made, folder, None, content=raw, headers=headers)
    assert answer.status_code == code, answer.text
    assert message in answer.json()["detail"]


def test_what_has_no_model_is_refused(asked, service):
    made, _, _ = asked
    for search_id in ("20260101-000000-00000000", "..", "a" * 200):
        assert made.client.post(f"/models/{search_id}/predict", json={"texts": ["a"]}).status_code == 404
    queued = service.accepted()
    answer = predict(service, queued, ["a"])
    assert (answer.status_code, answer.json()["detail"]) == (409, "The search is queued and has no model yet")


def test_a_model_that_does_not_answer_is_told_without_its_place(asked):
    made, folder, place = asked
    save_model(place)
    (place / "tokenizer.json").unlink()
    answer = predict(made, folder, ["a"])
    assert answer.status_code == 409
    assert "holds no tokenizer" in answer.json()["detail"]
    assert str(made.root) not in answer.text
    (place / "config.json").write_text("{}")
    assert predict(made, folder, ["a"]).status_code == 409


def test_what_takes_too_long_or_breaks_off_is_ended_and_the_next_is_answered(tmp_path, monkeypatch):
    model = save_model(tmp_path / "model")
    answerer = Answerer()
    monkeypatch.setattr(answering, "TIME_S", 0.01)
    with pytest.raises(BusyError, match="takes more than 0 s; send fewer or shorter texts"):
        answerer.answers(tmp_path / "model", TEXTS)
    monkeypatch.setattr(answering, "TIME_S", 60.0)
    answers, _ = answerer.answers(tmp_path / "model", TEXTS)
    assert [(one["label"], one["score"]) for one in answers] == expected(tmp_path / "model", model)
    os.kill(answerer._process.pid, 9)
    answerer._process.join()
    assert answerer.answers(tmp_path / "model", TEXTS)[0] == answers
    for _ in range(8):
        answerer._waiting.acquire()
    with pytest.raises(BusyError, match="Other texts are being answered"):
        answerer.answers(tmp_path / "model", TEXTS)
    answerer.close()
