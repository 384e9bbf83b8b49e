"""First weights by origin, at tiny size, for real."""

import pytest
import torch
from rich.console import Console

from dataset.prepare import DataOptions
from design_space import ModelSpec
from flexibert import FlexiBERTForSequenceClassification
from search import Candidate, Origin
from search.optimizer.origins import Origins
from search.training.initial_weights import initial_model
from search.training.task_heads import model_config
from search.training.train import train_candidate
from tests.search.optimizer.test_offspring import children
from tests.search.training.test_training import _job, _spec
from tests.search.training.test_training import data as data  # the task
from tests.search.training.test_training_recipes import write_glue

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    """Two trained parents."""
    folder = tmp_path_factory.mktemp("search")
    for number, spec in enumerate((_spec(), _spec(hidden=32))):
        train_candidate(_job(data, folder, spec, trial=f"t{number:04d}"), lambda _: None)
    return folder


def _first(data, folder, child):
    job = _job(data, folder, child.spec, child.origin, trial="t0009")
    return initial_model(job, data, model_config(job, data))


def _logits(model):
    ids = torch.tensor([[2, 30, 40, 50, 3], [2, 31, 41, 51, 3]])
    with torch.no_grad():
        return model.eval()(ids).logits


def test_a_stitch_starts_as_the_mean_of_its_parents(data, folder):
    (child,) = children([_spec(), _spec(hidden=32)], ["stitch"])
    model, overlap = _first(data, folder, child)
    parents = [FlexiBERTForSequenceClassification.from_pretrained(folder / "models" / h) for h in child.origin.parents]
    assert overlap == 1.0
    assert torch.allclose(_logits(model), (_logits(parents[0]) + _logits(parents[1])) / 2, atol=1e-5)
    assert model.config.lineage[-1].startswith("Stitched of two models")
    result = train_candidate(_job(data, folder, child.spec, child.origin, trial="t0003"), lambda _: None)
    saved = FlexiBERTForSequenceClassification.from_pretrained(folder / "models" / child.spec.hash)
    assert saved.config.model_spec == child.spec
    assert result.objectives["parameters"] == saved.num_parameters()


@pytest.mark.parametrize("kind", ["prune", "merge"])
def test_a_smaller_child_of_a_parent_is_trained_and_saved(data, folder, kind):
    child = children([_spec(hidden=32)], [kind])[-1]
    model, overlap = _first(data, folder, child)
    assert model.config.model_spec == child.spec
    assert overlap == 1.0
    parent = FlexiBERTForSequenceClassification.from_pretrained(folder / "models" / child.origin.parents[0])
    assert model.num_parameters() < parent.num_parameters()
    embeddings = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(model.get_parameter(embeddings), parent.get_parameter(embeddings))
    reports = []
    result = train_candidate(_job(data, folder, child.spec, child.origin, trial="t0004"), reports.append)
    assert {report["phase"] for report in reports} == {"fine-tune"}
    assert (folder / "models" / child.spec.hash / "model.safetensors").is_file()
    assert result.overlap == 1.0


def test_an_architecture_that_a_parent_holds_is_pruned_out_of_it(data, folder):
    parent, spec = _spec(hidden=32), ModelSpec.homogeneous(1, 16, 1, 24)
    (origin,) = Origins(["prune"], lambda *_: 0.0, 0.8).inheriting(spec, [parent])
    model, overlap = _first(data, folder, Candidate(spec, origin))
    assert model.config.model_spec == spec
    assert overlap == 1.0
    assert model.config.lineage[-1].startswith("pruned in one shot to 0.15 of")
    embeddings = "bert.embeddings.word_embeddings.weight"
    trained = FlexiBERTForSequenceClassification.from_pretrained(folder / "models" / parent.hash)
    theirs = {tuple(column) for column in trained.get_parameter(embeddings).T.tolist()}
    assert {tuple(column) for column in model.get_parameter(embeddings).T.tolist()} < theirs


def test_a_parent_that_makes_another_child_is_refused(data, folder):
    child = children([_spec(hidden=32)], ["merge"])[0]
    job = _job(data, folder, child.spec, Origin("merge", _spec().hash))
    with pytest.raises(ValueError, match=r"merge\(.*\) makes another architecture than"):
        initial_model(job, data, model_config(job, data))


def test_of_several_tasks_a_child_for_each_is_made_of_the_parents_model_for_it(tmp_path):
    write_glue(tmp_path / "glue", num_wnli=40, num_stsb=30)
    (tmp_path / "corpus.txt").write_text("\n".join(f"a story about people, number {i}" for i in range(200)))
    options = DataOptions(
        task="glue", data_dir=tmp_path / "glue", corpus=(tmp_path / "corpus.txt",), vocab_size=300, max_length=16
    )
    data = options.prepare(tmp_path / "prepared", Console(quiet=True))
    train_candidate(_job(data, tmp_path, _spec()), lambda _: None)
    train_candidate(_job(data, tmp_path, _spec(hidden=32)), lambda _: None)
    embeddings = "bert.embeddings.word_embeddings.weight"
    transferred = Candidate(_spec(parameter="wma"), Origin("transfer", _spec().hash))
    largest = FlexiBERTForSequenceClassification.from_pretrained(tmp_path / "models" / _spec().hash / "wnli")
    for task in data.tasks:  # WNLI has more rows
        job = _job(data, tmp_path, transferred.spec, transferred.origin)
        model, _ = initial_model(job, task, model_config(job, task))
        assert torch.equal(model.get_parameter(embeddings), largest.get_parameter(embeddings))
    born = children([_spec(), _spec(hidden=32)], ["prune", "merge", "stitch"])
    assert {child.origin.name for child in born} == {"prune", "merge", "stitch"}
    for child in born:
        job = _job(data, tmp_path, child.spec, child.origin, trial="t0009")
        for task in data.tasks:
            model, _ = initial_model(job, task, model_config(job, task))
            folders = [tmp_path / "models" / parent / task.name for parent in child.origin.parents]
            parents = [FlexiBERTForSequenceClassification.from_pretrained(folder) for folder in folders]
            if len(parents) == 1:
                assert torch.equal(model.get_parameter(embeddings), parents[0].get_parameter(embeddings))
            else:
                assert torch.allclose(_logits(model), sum(map(_logits, parents)) / 2, atol=1e-5)
