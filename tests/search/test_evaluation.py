"""Baselines: the published architectures, trained by one command, compared in one table."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console

from design_space import ModelSpec
from flexibert import FlexiBERTConfig, FlexiBERTModel
from search import evaluation
from search.baselines import BASELINES, baseline_spec, same_size
from search.evaluation import compare, compare_baselines
from search.objectives import exact_costs
from search.training.recipe import Recipe

TINY = ModelSpec.from_dict({"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]})


@pytest.mark.parametrize(("name", "millions"), [("bert-tiny", 0.4), ("bert-mini", 3.2), ("bert-small", 12.6)])
def test_baselines_have_the_size_of_the_published_ones(name, millions):
    # Turc et al. (2019), table 1, less the word embeddings.
    config = FlexiBERTConfig(
        model_dict=baseline_spec(name).to_dict(), vocab_size=30_522, position_embedding_type="absolute"
    )
    with torch.device("meta"):
        model = FlexiBERTModel(config)
    words = 30_522 * BASELINES[name][1]
    total = sum(parameter.numel() for layer in (model.encoder, model.pooler) for parameter in layer.parameters())
    assert total / 1e6 == pytest.approx(millions, rel=0.06)
    assert sum(parameter.numel() for parameter in model.embeddings.parameters()) > words


def test_the_homogeneous_architecture_of_the_same_size_has_its_depth_and_nearly_its_parameters(tiny_library):
    parameters = exact_costs(FlexiBERTConfig(vocab_size=500))["parameters"]
    for name in BASELINES:
        assert same_size(baseline_spec(name), parameters) == baseline_spec(name)
    nearby_sizes = [(16, 1, 64), (32, 1, 128), (48, 3, 192), (64, 1, 256), (80, 5, 320), (96, 3, 384), (128, 2, 512)]
    for spec in tiny_library.specs[::30]:
        found = same_size(spec, parameters)
        nearby = [ModelSpec.homogeneous(len(spec.layers), *sizes) for sizes in nearby_sizes]
        differences = np.abs(parameters(nearby) - parameters([spec]))
        assert len(found.layers) == len(spec.layers)
        assert np.abs(parameters([found]) - parameters([spec]))[0] == differences.min()


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "baseline_spec", lambda name: TINY)
    (tmp_path / "corpus.txt").write_text("\n".join(f"a story about people, number {i}" for i in range(200)))
    (tmp_path / "glue" / "RTE").mkdir(parents=True)
    (tmp_path / "glue" / "WNLI").mkdir(parents=True)
    for folder, names in (("RTE", ("entailment", "not_entailment")), ("WNLI", "01")):
        rows = "\n".join(f"a story {i}\tb\t{names[i % 2]}" for i in range(30))
        for split in ("train", "dev"):
            (tmp_path / "glue" / folder / f"{split}.tsv").write_text(f"sentence1\tsentence2\tlabel\n{rows}\n")
    (tmp_path / "glue" / "RTE" / "test.tsv").write_text("index\tsentence1\tsentence2\n0\ta\tb\n1\tc\td\n")
    (tmp_path / "mine.yaml").write_text("pretrain_steps: 2\nmax_length: 16\nepochs: 1\n")
    return tmp_path


@pytest.mark.integration
def test_one_command_trains_baselines_on_all_of_glue_and_answers_the_board(inputs, capsys):
    flags = ["--task", "glue", "--data_dir", str(inputs / "glue"), "--corpus", str(inputs / "corpus.txt")]
    flags += ["--vocab_size", "300", "--recipe", str(inputs / "mine.yaml"), "--output_dir", str(inputs / "out")]
    compare([*flags, "--baseline", "bert-tiny", "--seeds", "2", "--and_without_pretraining"])
    results = json.loads((inputs / "out" / "results.json").read_text())
    assert {name: [run["seed"] for run in runs] for name, runs in results.items()} == {
        "bert-tiny": [0, 1],
        "bert-tiny without pre-training": [0, 1],
    }
    assert all("pretrain_perplexity" in run for run in results["bert-tiny"])
    assert not any("pretrain_perplexity" in run for run in results["bert-tiny without pre-training"])
    run = results["bert-tiny"][0]
    assert run["score"] == pytest.approx((run["rte_accuracy"] + run["wnli_accuracy"]) / 2)
    table = (inputs / "out" / "results.md").read_text().splitlines()
    assert table[0].startswith("| model | rte_accuracy | wnli_accuracy | glue |")
    assert len({line.count("|") for line in table}) == 1
    mean = sum(run["rte_accuracy"] for run in results["bert-tiny"]) / 2 * 100
    assert table[2].startswith(f"| bert-tiny | {mean:.1f} ±")
    submission = inputs / "out" / "bert-tiny-seed-0" / "submission"
    assert [path.name for path in submission.iterdir()] == ["RTE.tsv"]
    assert len((submission / "RTE.tsv").read_text().splitlines()) == 3


def test_a_baseline_of_another_size_does_not_go_on_from_the_checkpoints_of_the_last(inputs, monkeypatch):
    folders = []
    monkeypatch.setattr("search.evaluation.train_candidate", lambda job, report: folders.append(job.work_dir))
    data = SimpleNamespace(path=inputs / "data")
    for spec in (TINY, ModelSpec.homogeneous(1, 32, 2, 64)):
        evaluation.train_baseline("same-size", spec, data, Recipe(), inputs / "run", seed=1)
    assert len(set(folders)) == 2


@pytest.mark.integration
def test_baselines_of_a_search_are_written_beside_it(inputs):
    from dataset.prepare import DataOptions

    options = DataOptions(
        task="wnli", data_dir=inputs / "glue" / "WNLI", corpus=(inputs / "corpus.txt",), vocab_size=300
    )
    data = options.prepare(inputs / "data", Console(quiet=True))
    recipe = Recipe(pretrain_steps=0, epochs=1)
    compare_baselines({"bert-tiny": TINY}, data, recipe, inputs / "run", Console(quiet=True), seed=1, num_threads=1)
    results = json.loads((inputs / "run" / "baselines.json").read_text())
    assert results["bert-tiny"]["score"] == results["bert-tiny"]["objectives"]["accuracy"]
    compare_baselines({}, data, recipe, inputs / "none", Console(quiet=True), seed=1, num_threads=1)
    assert not (inputs / "none").exists()
