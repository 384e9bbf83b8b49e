"""Every recipe by name and every kind of task, trained for real at tiny size."""

import dataclasses
import json
import math

import pytest
import torch
from rich.console import Console

from dataset.prepare import DataOptions
from design_space import ModelSpec
from flexibert import FlexiBERTConfig, FlexiBERTForMaskedLM, FlexiBERTForSequenceClassification
from search import Candidate, Origin
from search.training.evaluate import evaluate, perplexity, predict
from search.training.recipe import RECIPES, Recipe, TrainingJob, load_recipe
from search.training.train import train_candidate

SPEC = ModelSpec.from_dict({"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]})
TINY = {"pretrain_steps": 3, "pretrain_batch_size": 4, "pretrain_length": 16, "max_length": 16, "epochs": 1}
RECIPE = Recipe(**TINY)
LONGER = dataclasses.replace(RECIPE, pretrain_steps=10)  # the loss is reported every ten steps


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "corpus.txt").write_text("\n".join(f"a story about people, number {i}" for i in range(200)))
    rows = [f"a {'fine' if i % 2 else 'dull'} story number {i},{'good' if i % 2 else 'bad'}" for i in range(60)]
    (folder / "films.csv").write_text("\n".join(["review,verdict", *rows]))
    many = [{"text": f"a {'fine' if i % 2 else 'dull'} story", "tags": ["x", "y"][: i % 3]} for i in range(40)]
    (folder / "tags.jsonl").write_text("\n".join(map(json.dumps, many)))
    write_glue(folder / "glue", num_wnli=30, num_stsb=40)
    (folder / "glue" / "WNLI" / "test.tsv").write_text("index\tsentence1\tsentence2\n0\ta story\tb\n1\tc\td\n")
    return folder


def write_glue(folder, *, num_wnli: int, num_stsb: int) -> None:
    """Two of its tasks, with so many rows for training."""
    for name, label, values, num_rows in (("WNLI", "label", "01", num_wnli), ("STS-B", "score", "15", num_stsb)):
        (folder / name).mkdir(parents=True)
        lines = [f"a story {i}\tanother story\t{values[i % 2]}" for i in range(num_rows)]
        for split in ("train", "dev"):
            text = "\n".join([f"sentence1\tsentence2\t{label}", *lines])
            (folder / name / f"{split}.tsv").write_text(text)


def _data(inputs, task: str, data_dir=None):
    options = DataOptions(task=task, data_dir=data_dir, corpus=(inputs / "corpus.txt",), vocab_size=300, max_length=16)
    return options.prepare(inputs / f"prepared-{task.rpartition('/')[2]}", Console(quiet=True))


def _job(data, folder, recipe: Recipe = RECIPE, origin: Origin | None = None) -> TrainingJob:
    return TrainingJob(
        trial="t0001",
        candidate=Candidate(SPEC, origin or Origin()),
        data_dir=str(data.path),
        models_dir=str(folder / "models"),
        work_dir=str(folder / "work" / "t0001"),
        recipe=recipe,
        seed=3,
    )


@pytest.mark.integration
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_by_name_trains_a_candidate(name, inputs, tmp_path):
    recipe = dataclasses.replace(load_recipe(name), **TINY, batch_size=8, num_workers=0)
    if recipe.compile_backend == "inductor":  # which would call a C++ compiler for a minute
        recipe = dataclasses.replace(recipe, compile_backend="eager")
    torch.compiler.reset()
    result = train_candidate(_job(_data(inputs, str(inputs / "films.csv")), tmp_path, recipe), lambda _: None)
    assert 0 <= result.score <= 1
    assert result.figures["pretrain_padding_share"] == 0
    assert 0 <= result.figures["finetune_padding_share"] < 0.2
    assert 1 < result.figures["pretrain_perplexity"] < 2 * 300
    assert (
        min(
            result.figures[f"{phase}_{what}_tokens_per_s"]
            for phase in ("pretrain", "finetune")
            for what in ("input", "train")
        )
        > 0
    )


@pytest.mark.integration
def test_of_several_tasks_the_score_is_the_mean_and_each_has_its_model(inputs, tmp_path):
    data = _data(inputs, "glue", inputs / "glue")
    reports = []
    result = train_candidate(_job(data, tmp_path, LONGER), reports.append)
    assert result.score == pytest.approx(
        (result.objectives["stsb_pearson_spearman"] + result.objectives["wnli_accuracy"]) / 2
    )
    assert [report["phase"] for report in reports].count("pretrain") == 1  # once for all tasks
    assert 0 <= result.figures["wnli_finetune_padding_share"] < 1
    folder = tmp_path / "models" / SPEC.hash
    assert evaluate(folder, data, "validation")["glue"] == pytest.approx(result.score)
    largest = FlexiBERTForSequenceClassification.from_pretrained(folder)
    assert (largest.num_labels, largest.config.problem_type) == (1, "regression")  # STS-B has more rows
    assert predict(folder / "wnli", data.tasks[1], "test").shape == (2, 2)


@pytest.mark.integration
def test_a_cut_job_of_several_tasks_does_not_train_the_first_again(inputs, tmp_path):
    data, phases = _data(inputs, "glue", inputs / "glue"), []
    straight = train_candidate(_job(data, tmp_path / "straight", LONGER), lambda report: phases.append(report["phase"]))

    class PowerCut(Exception):
        pass

    seen = []

    def cut(report):
        seen.append(report)
        if sum("validation_score" in one for one in seen) == 3:  # twice STS-B, then WNLI
            raise PowerCut

    with pytest.raises(PowerCut):
        train_candidate(_job(data, tmp_path / "cut", LONGER), cut)
    assert (tmp_path / "cut" / "work" / "t0001" / "trained-stsb").is_dir()
    again = []
    resumed = train_candidate(_job(data, tmp_path / "cut", LONGER), again.append)
    assert "pretrain" in phases
    assert {report["phase"] for report in again} == {"fine-tune"}
    assert sum("validation_score" in report for report in again) == 2  # of WNLI alone
    assert resumed.score == pytest.approx(straight.score)


@pytest.mark.integration
def test_several_labels_a_text_are_learnt(inputs, tmp_path):
    data = _data(inputs, str(inputs / "tags.jsonl"))
    result = train_candidate(_job(data, tmp_path), lambda _: None)
    assert result.objectives["f1_micro"] == result.score
    assert predict(tmp_path / "models" / SPEC.hash, data, "validation").shape == (len(data.split("validation")), 2)


@pytest.mark.integration
def test_training_ends_early_when_the_score_stands_still(inputs, tmp_path):
    data = _data(inputs, str(inputs / "films.csv"))
    recipe = dataclasses.replace(RECIPE, pretrain_steps=0, epochs=30, learning_rate=0.0, early_stopping=2)
    reports = []
    train_candidate(_job(data, tmp_path, recipe), reports.append)
    assert sum("validation_score" in report for report in reports) == 3 + 1  # three epochs, and the best at the end


def test_a_parent_with_another_vocabulary_is_refused(inputs, tmp_path):
    data = _data(inputs, str(inputs / "films.csv"))
    parent = FlexiBERTForSequenceClassification(
        FlexiBERTConfig(model_dict=SPEC.to_dict(), vocab_size=data.vocab_size + 1)
    )
    parent.save_pretrained(tmp_path / "models" / "abc")
    with pytest.raises(ValueError, match=r"The tokenizer has 300 tokens, but the parent in .*abc was trained with 301"):
        train_candidate(_job(data, tmp_path, origin=Origin("transfer", "abc")), lambda _: None)


def test_data_longer_than_the_recipe_are_refused(inputs, tmp_path):
    recipe = dataclasses.replace(RECIPE, max_length=8, pretrain_length=8)
    with pytest.raises(ValueError, match="holds texts of up to 16 tokens, the models of this search see 8"):
        train_candidate(_job(_data(inputs, str(inputs / "films.csv")), tmp_path, recipe), lambda _: None)


def test_perplexity_of_a_model_that_knows_nothing_is_the_vocabulary_and_the_same_twice(inputs):
    data = _data(inputs, str(inputs / "films.csv"))
    model = FlexiBERTForMaskedLM(FlexiBERTConfig(model_dict=SPEC.to_dict(), vocab_size=data.vocab_size))
    for parameter in model.cls.parameters():
        torch.nn.init.zeros_(parameter)
    assert perplexity(model, data, RECIPE) == pytest.approx(data.vocab_size, rel=1e-4)
    torch.nn.init.normal_(model.cls.predictions.decoder.bias)
    value = perplexity(model, data, RECIPE)
    torch.rand(7)
    assert (perplexity(model, data, RECIPE), math.isfinite(value)) == (value, True)
