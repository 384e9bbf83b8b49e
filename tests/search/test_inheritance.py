"""First weights by origin, at tiny size, for real."""

import pytest
import torch

from flexibert import FlexiBERTForSequenceClassification
from search import Origin
from search.children import children
from search.inheritance import inherited
from search.training import _config, train_candidate

from .test_training import _job, _spec
from .test_training import data as data  # the task

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
    return inherited(job, data, _config(job, data))


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
    parent = FlexiBERTForSequenceClassification.from_pretrained(folder / "models" / child.origin.parent)
    assert model.num_parameters() < parent.num_parameters()
    embeddings = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(model.get_parameter(embeddings), parent.get_parameter(embeddings))
    reports = []
    result = train_candidate(_job(data, folder, child.spec, child.origin, trial="t0004"), reports.append)
    assert {report["phase"] for report in reports} == {"fine-tune"}
    assert (folder / "models" / child.spec.hash / "model.safetensors").is_file()
    assert result.overlap == 1.0


def test_a_parent_that_makes_another_child_is_refused(data, folder):
    child = children([_spec(hidden=32)], ["merge"])[0]
    job = _job(data, folder, child.spec, Origin("merge", _spec().hash))
    with pytest.raises(ValueError, match=r"merge\(.*\) makes another architecture than"):
        inherited(job, data, _config(job, data))
