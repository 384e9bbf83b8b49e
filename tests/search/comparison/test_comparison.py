"""A best model beside others on held-out rows: simple baselines, intervals, answers, and the files that keep them."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from dataset.prepare import DataOptions
from flexibert import FlexiBERTModel, load_encoder
from search.candidate import Candidate, Origin
from search.comparison.answers import answers_of
from search.comparison.models import Compared, as_comparison, compare_models, comparison_text, usual_length
from search.comparison.simple_baselines import FROZEN, WORDS, _answered, simple_baselines
from search.records.comparison_file import read_comparison, write_comparison
from search.records.journal import TrialRecord
from search.records.run_directory import RunDirectory
from search.runs.held_out import compare_best
from tests.search.encoders import write_bert, write_reviews
from tests.search.runs.test_teaching import _add_model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    write_reviews(folder / "reviews.csv")
    (folder / "corpus.txt").write_text("the film is good\n" * 40)
    options = DataOptions(
        task=str(folder / "reviews.csv"), corpus=(folder / "corpus.txt",), vocab_size=300, max_length=16
    )
    return options.prepare(folder / "prepared", Console(quiet=True))


def _data_of(folder: Path, rows: list[dict], **options):
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "corpus.txt").write_text("a story of a film\n" * 40)
    of = DataOptions(task=str(folder / "rows.jsonl"), corpus=(folder / "corpus.txt",), vocab_size=300, max_length=16)
    return of.prepare(folder / "prepared", Console(quiet=True))


def _compared(data, outputs: np.ndarray, name: str = "t0001") -> Compared:
    same = {"score": 0.5, "low": 0.4, "high": 0.6, "difference": (0.0, 0.0, 0.0), "kept": None}
    same["behind"] = (0.0, 0.0, 0.0)
    return Compared(name=name, parameters=3, latency=None, outputs=outputs, **same)


def test_words_tell_what_words_decide(data):
    [words] = simple_baselines(data, "test", None)
    assert words.name == WORDS
    assert data.measure(words.outputs, "test")["accuracy"] == 1.0
    assert words.outputs.shape == (data.sizes["test"], 2)
    assert words.note == f"logistic regression on the words of {data.sizes['train']} training texts, weighed by TF-IDF"


def test_the_frozen_encoder_is_that_of_the_search(data, tmp_path):
    encoder = load_encoder(str(write_bert(tmp_path / "bert", vocab_size=300))).model
    encoder.save_pretrained(tmp_path / "tiny-bert")
    assert FlexiBERTModel.from_pretrained(tmp_path / "tiny-bert").config.pooling == "cls"
    _, frozen = simple_baselines(data, "test", tmp_path / "tiny-bert")
    assert frozen.name == FROZEN
    assert frozen.note.startswith(
        f"logistic regression on what the encoder says of {data.sizes['train']} training texts"
    )
    assert data.measure(frozen.outputs, "test")["accuracy"] > 0.6  # states of random weights hold the words too
    assert frozen.parameters > encoder.num_parameters()


@pytest.mark.parametrize("kind", ["numbers", "several labels"])
def test_numbers_and_several_labels_have_a_bag_of_words_too(kind, tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for number in range(120):
        good, long = (bool(one) for one in rng.integers(2, size=2))
        text = f"a {'fine' if good else 'dull'} and {'long' if long else 'short'} film number {number}"
        labels = [name for name, has in (("good", good), ("long", long)) if has]
        rows.append({"text": text, "label": 2.5 * good + 1.25 * long + 0.001 * number if kind == "numbers" else labels})
    data = _data_of(tmp_path, rows)
    assert data.is_regression if kind == "numbers" else data.is_multi_label
    [words] = simple_baselines(data, "test", None)
    assert data.measure(words.outputs, "test")[data.metric] > 0.95
    assert words.note.startswith("ridge" if kind == "numbers" else "logistic")


def test_of_words_and_one_class_there_is_none(data, tmp_path):
    tags = [{"tokens": ["a", "film"], "tags": ["O", "B-X"]} for _ in range(60)]
    assert simple_baselines(_data_of(tmp_path, tags), "test", None) == []


def test_many_features_of_few_rows_are_penalised_as_strongly_as_they_need(data):
    """A little of the label is in each of 200 features, and a fifth of the training labels is wrong: a model that is
    hardly penalised learns that."""
    rng = np.random.default_rng(0)
    labels = [rng.integers(2, size=size) for size in (300, 500, 2000)]
    features = [rng.normal(size=(len(of), 200)) + 0.12 * (2 * of[:, None] - 1) for of in labels]
    told = np.where(rng.random(300) < 0.2, 1 - labels[0], labels[0])
    outputs, _ = _answered(data, features, [{"labels": of} for of in (told, labels[1], labels[2])])
    hardly = LogisticRegression(C=0.1, max_iter=300).fit(features[0], told).score(features[2], labels[2])
    assert np.mean(outputs.argmax(1) == labels[2]) > hardly + 0.05


def test_models_stand_beside_the_first_with_intervals(data, tmp_path):
    folders = {name: _add_model(data, tmp_path, size, 0.5) for name, size in (("large", 32), ("small", 16))}
    found = compare_models(folders, data, "test", length=8, threads=1, simple=simple_baselines(data, "test", None))
    large, small, words = found
    assert (large.difference, large.kept) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert small.kept[0] == pytest.approx(small.score / large.score)
    assert small.kept[1] <= small.kept[0] <= small.kept[2]
    assert words.score == 1.0
    assert words.behind == pytest.approx((small.score - 1, *words.behind[1:]))
    assert words.behind[1] <= words.behind[0] <= words.behind[2] < 0
    assert words.latency is None
    assert words.is_told_apart
    assert usual_length(data) == 16
    kinds = {"large": ("encoder", "t0001"), "small": ("best", "t0002")}
    comparison = as_comparison(found, data, "test", length=8, runtime="torch", kinds=kinds)
    answers = answers_of(small, large, "t0002", data, "test")
    write_comparison(tmp_path, comparison, answers)
    assert read_comparison(tmp_path) == (comparison, answers)
    assert [(one["kind"], one["trial"]) for one in comparison["models"]] == [*kinds.values(), ("simple", None)]
    text = comparison_text(found, comparison)
    times = "times are of one text of 8 tokens in PyTorch on the CPU with 1 thread."
    assert text.startswith(f"On test ({data.sizes['test']} rows); {times}")
    assert "| bag of words | 1.0000 (0.7941 to 1.0000) |" in text  # all rows right: Clopper and Pearson
    write_comparison(tmp_path, comparison, None)
    assert read_comparison(tmp_path) == (comparison, None)


def test_a_damaged_comparison_is_told(tmp_path):
    (tmp_path / "comparison.json").write_text('{"metric": "accuracy", "models": [{"name": 3}]}')
    with pytest.raises(ValueError, match=r"comparison.json is damaged: 'split' is missing"):
        read_comparison(tmp_path)


def test_what_the_best_gets_wrong_and_the_reference_right_is_shown_surest_first(data):
    labels = np.asarray(data.split("test")["labels"][:])
    right = np.eye(2)[labels]
    mistaken = right.copy()
    mistaken[[1, 4]] = (1 - right[[1, 4]]) * np.array([[1.0], [9.0]])
    also = right.copy()
    also[[4, 5]] = 1 - right[[4, 5]]
    answers = answers_of(_compared(data, mistaken), _compared(data, right, "root"), "t0001", data, "test")
    texts = data.tokenizer.batch_decode(data.split("test")["input_ids"][:], skip_special_tokens=True)
    assert [one["text"] for one in answers["examples"]] == [texts[4], texts[1]]
    assert answers["examples"][0]["sure"] == pytest.approx(1 / (1 + np.exp(-9)))
    assert answers["examples"][0]["label"] == answers["examples"][0]["reference"] == data.label_names[labels[4]]
    assert answers["num_wrong"] == 2
    assert np.array(answers["confusion"]).trace() == len(labels) - 2
    assert {one["name"]: one["f1"] for one in answers["classes"]} == {
        name: pytest.approx(f1_score(labels == number, mistaken.argmax(1) == number))
        for number, name in enumerate(data.label_names)
    }
    both = answers_of(_compared(data, mistaken), _compared(data, also, "root"), "t0001", data, "test")
    assert both["counts"] == {"both": len(labels) - 3, "best": 1, "reference": 1, "neither": 1}
    flawless = answers_of(_compared(data, right), _compared(data, mistaken, "root"), "t0001", data, "test")
    assert (flawless["examples"], flawless["num_wrong"]) == ([], 0)
    alone = answers_of(_compared(data, mistaken), None, "t0001", data, "test")
    assert (alone["counts"], alone["num_wrong"], alone["examples"][0]["reference"]) == (None, 2, None)


def test_a_run_ends_beside_its_encoder_and_its_baselines(data, tmp_path):
    large, small, known = (_add_model(data, tmp_path / "models", size, 0.5) for size in (32, 16, 48))
    specs = [FlexiBERTModel.from_pretrained(folder).config.model_spec for folder in (large, small, known)]
    FlexiBERTModel.from_pretrained(large).save_pretrained(tmp_path / "tiny-bert")
    baseline = tmp_path / "run" / "baselines" / "models" / specs[2].hash
    baseline.parent.mkdir(parents=True)
    known.rename(baseline)
    run = SimpleNamespace(
        data=data,
        directory=RunDirectory(tmp_path / "run"),
        models_dir=tmp_path / "models",
        roots=SimpleNamespace(folders={"tiny-bert": tmp_path / "tiny-bert"}, reference=specs[0], title="tiny-bert"),
        timing={},
    )
    records = [
        TrialRecord("t0001", Candidate(specs[0], Origin("pretrained", model="tiny-bert")), "finished", 0.5),
        TrialRecord("t0002", Candidate(specs[1], Origin()), "finished", 0.5),
    ]
    console = Console(quiet=True)
    text = compare_best(run, records, records[1], {"same-size": specs[2]}, "test", console)
    comparison, answers = read_comparison(tmp_path / "run")
    assert [(one["name"], one["kind"], one["trial"]) for one in comparison["models"]] == [
        ("tiny-bert", "encoder", "t0001"),
        ("same-size", "baseline", None),
        ("t0002", "best", "t0002"),
        (WORDS, "simple", None),
        (FROZEN, "simple", None),
    ]
    assert comparison["sizes"] == {name: data.sizes[name] for name in ("train", "validation", "test")}
    assert (answers["trial"], answers["reference"], answers["rows"]) == ("t0002", "tiny-bert", data.sizes["test"])
    assert "| tiny-bert |" in text
    compare_best(run, records, records[0], {}, "test", console)  # the encoder itself is the best
    comparison, answers = read_comparison(tmp_path / "run")
    assert [one["kind"] for one in comparison["models"]] == ["best", "simple", "simple"]
    assert answers["reference"] is None
