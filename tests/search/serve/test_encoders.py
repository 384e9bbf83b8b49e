"""Searches that start from a pre-trained encoder: one of those that the service offers, and no other."""

import pytest

from design_space.command import read_options
from design_space.options import options_of
from search.runs.options import parse
from search.runs.shrink_goals import ShrinkGoals
from search.runs.shrink_run import ShrinkOptions
from search.serve.options import GOALS, check_search_options
from search.serve.settings import ServiceSettings
from tests.search.serve.services import TABLE, Service, train


@pytest.fixture
def offering(tmp_path):
    (tmp_path / "my-bert").mkdir()
    made = Service(tmp_path / "root", encoders=(str(tmp_path / "my-bert"), "google-bert/bert-base-uncased"))
    with made.client:
        yield made


def _submit(service, start_from="my-bert", **parts):
    return service.submit(design_space=None, start_from=start_from, table=("films.csv", TABLE), **parts)


def _accepted(service, **parts):
    return service.accepted(**{"design_space": None, "start_from": "my-bert", "table": ("films.csv", TABLE)} | parts)


def test_a_goal_makes_the_encoder_smaller(offering, tmp_path):
    options = {"faster": 3, "label_column": "verdict", "resources_per_trial": {"cpu": 2}, "text_column": "review"}
    folder = _accepted(offering, options=options)
    (command,) = offering.jobs._commands(folder)
    assert command[2:4] == ["-m", "search.shrink"]
    read = read_options(ShrinkOptions, command[4:])
    assert (read.model, read.target) == (str(tmp_path / "my-bert"), folder.path / "model")
    assert (read.run_dir, read.wanted) == (folder.run.path, ShrinkGoals(faster=3.0))
    assert (read.data.task, read.data.table.label_column) == (str(folder.path / "table/films.csv"), "verdict")
    assert read.cluster.resources_per_trial == {"cpu": 2.0}
    status = offering.get(folder).json()
    assert (status["start_from"], status["options"]["faster"], status["max_trials"]) == ("my-bert", 3.0, None)
    assert str(tmp_path) not in offering.get(folder).text


def test_without_a_goal_its_parts_are_searched(offering):
    folder = _accepted(offering, start_from="bert-base-uncased", options={"max_trials": 4, "screen": 8})
    (command,) = offering.jobs._commands(folder)
    assert command[2:4] == ["-m", "search.run_boshnas"]
    read = parse(command[4:])
    assert read.roots.start_from == ("google-bert/bert-base-uncased",)
    assert (read.dataset_file, read.budget.max_trials, read.roots.screen) == (None, (4,), 8)
    assert read.recipe == "pretrained"


def test_a_text_of_a_client_is_no_flag(offering):
    table = TABLE.replace(b"verdict", b"--quiet")
    folder = _accepted(offering, table=("films.csv", table), options={"faster": 2, "label_column": "--quiet"})
    (command,) = offering.jobs._commands(folder)
    read = read_options(ShrinkOptions, command[4:])
    assert (read.quiet, read.data.table.label_column) == (False, "--quiet")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"start_from": "bert"}, "Unknown encoder 'bert' in 'start_from'. Offered are my-bert, bert-base-uncased"),
        ({"start_from": "../my-bert"}, "Unknown encoder '../my-bert'"),
        ({"start_from": "google-bert/bert-base-uncased"}, "Unknown encoder"),
        ({"options": {"start_from": ["my-bert"]}}, "'start_from' in options is not for clients"),
        ({"options": {"faster": 3, "target": "/tmp/x"}}, "'target' in options is not for clients"),
        ({"options": {"faster": 3, "teacher": "/tmp/x"}}, "'teacher' in options is not for clients"),
        ({"options": {"faster": 3, "max_trials": 3}}, "Unknown option 'max_trials' in options"),
        ({"options": {"faster": 0}}, "'faster' in options must be a finite number above 1"),
        ({"library_options": {"max_graphs": 3}}, "'library_options' are for a design space"),
    ],
    ids=["name", "path", "hub", "option", "target", "teacher", "trials", "goal", "library"],
)
def test_what_is_not_offered_is_refused(offering, tmp_path, parts, message):
    answer = _submit(offering, **parts)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]
    assert str(tmp_path) not in answer.text


def test_one_source_is_needed(offering):
    both = offering.submit(start_from="my-bert", table=("films.csv", TABLE))
    assert "Give one of 'design_space'" in both.json()["detail"]
    from_scratch = offering.submit(options={"faster": 3})
    assert "'faster' in options compare with an encoder: give one in 'start_from'" in from_scratch.json()["detail"]


def test_a_stopped_one_goes_on_and_a_finished_one_does_not(offering, tiny_library):
    folder = _accepted(offering, options={"faster": 3})
    offering.post(folder, "stop")
    assert offering.post(folder, "resume", json={"options": {"max_hours": 2}}).status_code == 202
    train(folder, tiny_library)
    (command,) = offering.jobs._commands(folder)
    assert read_options(ShrinkOptions, command[4:]).search_options().resume
    folder.end("finished")
    assert offering.post(folder, "resume", json={"options": {"max_hours": 3}}).status_code == 409


def test_the_offer_is_told_and_its_names_differ(offering, tmp_path):
    assert offering.client.get("/api/options").json()["encoders"] == ["my-bert", "bert-base-uncased"]
    with pytest.raises(ValueError, match="'encoders' must end in different names"):
        ServiceSettings(root=tmp_path, encoders=("a/bert", "b/bert"))


def test_the_goals_are_those_of_shrink_model():
    assert set(GOALS) == set(options_of(ShrinkGoals))
    assert check_search_options({"smaller": 2}, "any") == {"smaller": 2.0}
