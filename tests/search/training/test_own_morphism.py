"""A morphism of a user's own, as docs/extending.md has it, from its registration to its training; a search with it on
Ray's workers is in ``tune/test_plugins_on_workers.py``."""

import re
import sys

import pytest
import torch

from design_space.command import given_options, run_command
from flexibert import MORPHISMS, FlexiBERTForSequenceClassification
from search import BOSHNAS, BOSHNASSettings, Origin
from search.candidate import origin_names
from search.optimizer.origins import Origins
from search.run_boshnas import run_boshnas
from search.runs.options import SearchOptions
from search.training.initial_weights import initial_model
from search.training.task_heads import model_config
from search.training.train import train_candidate
from tests.conftest import ROOT
from tests.search.optimizer.test_boshnas import run
from tests.search.training.test_training import _job, _spec
from tests.search.training.test_training import data as data  # the task


def documented() -> str:
    """The code of the section on morphisms."""
    section = (ROOT / "docs" / "extending.md").read_text().split("## A morphism\n")[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1)


@pytest.fixture
def drop_layer():
    exec(documented(), {"__name__": "drop_layer"})
    yield MORPHISMS["drop_layer"]
    del MORPHISMS["drop_layer"]


def test_it_is_known_to_flags_origins_and_the_searcher(drop_layer, tiny_library):
    assert origin_names()[-1] == "drop_layer"
    given = given_options(SearchOptions, ["--origins", "scratch", "drop_layer"])
    assert list(given["origins"]) == ["scratch", "drop_layer"]
    assert Origin.from_dict(Origin("drop_layer", "ab").to_dict()) == Origin("drop_layer", "ab")
    settings = BOSHNASSettings(num_init=2, origins=("scratch", "drop_layer"))
    third = run(BOSHNAS(tiny_library, settings=settings), 3)[-1]  # what was never tried comes first
    parent = tiny_library.get(third.origin.parents[0]).spec
    assert third.origin.name == "drop_layer"
    assert third.spec.layers == parent.layers[:-1]
    assert Origins(("scratch", "transfer", "drop_layer"), lambda *_: 1.0, 0.5).num_columns == 4


def test_its_model_is_trained_and_tells_where_its_weights_came_from(drop_layer, data, tmp_path):
    parent = _spec(hidden=32)
    train_candidate(_job(data, tmp_path, parent), lambda _: None)
    (child,) = Origins(("drop_layer",), None, 0.0).offspring([parent])
    job = _job(data, tmp_path, child.spec, child.origin, trial="t0002")
    model, overlap = initial_model(job, data, model_config(job, data))
    trained = FlexiBERTForSequenceClassification.from_pretrained(tmp_path / "models" / parent.hash)
    assert overlap == 1.0
    assert model.config.model_spec == child.spec
    del trained.bert.encoder.layer[-1]
    ids = torch.tensor([[2, 30, 40, 50, 3]])
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(ids).logits, trained.eval()(ids).logits)
    assert train_candidate(job, lambda _: None).overlap == 1.0
    card = (tmp_path / "models" / child.spec.hash / "README.md").read_text()
    assert "Is a trained parent without its last layer." in card


def test_another_architecture_than_the_childs_is_refused(drop_layer, data, tmp_path):
    parent = _spec()
    FlexiBERTForSequenceClassification(model_config(_job(data, tmp_path, parent), data)).save_pretrained(
        tmp_path / "models" / parent.hash
    )
    job = _job(data, tmp_path, _spec(hidden=32), Origin("drop_layer", parent.hash))
    with pytest.raises(ValueError, match=r"drop_layer\(.*\) makes another architecture than"):
        initial_model(job, data, model_config(job, data))


def test_the_help_of_a_command_lists_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "drop_layer.py").write_text(documented())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("design_space.plugins._loaded", {})
    try:
        with pytest.raises(SystemExit):
            run_command(run_boshnas, ["--plugin", "drop_layer", "--help"])
    finally:
        MORPHISMS.pop("drop_layer", None)
        sys.modules.pop("drop_layer", None)
    assert "{scratch,pretrained,transfer,prune,stitch,merge,drop_layer}" in capsys.readouterr().out
