"""Plugins reach the workers of Ray, the saved run, and the searches of a service."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from design_space.files import read_yaml
from search.candidate import Candidate, Origin
from search.records.journal import Journal
from search.runs.options import parse, search_options
from search.surrogates import SURROGATES
from search.training.recipe import Recipe, TrainingJob
from tests.patience import HANG_S
from tests.search.training.test_own_morphism import documented

ROOT = Path(__file__).resolve().parents[3]
PLUGIN = """
import os
from pathlib import Path
from search.surrogates import SURROGATES

SURROGATES["my_surrogate"] = SURROGATES["gp"]
with (Path(__file__).parent / "imports.txt").open("a") as stream:
    stream.write(f"{os.getpid()}\\n")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A folder with a plugin, as the working directory of a fresh process would be."""
    (tmp_path / "surrogate_plugin.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("design_space.plugins._loaded", {})
    yield tmp_path
    sys.modules.pop("surrogate_plugin", None)
    SURROGATES.pop("my_surrogate", None)


@pytest.mark.integration
def test_a_search_with_plugins_runs_on_workers_that_have_imported_them_and_goes_on_when_it_has_ended(
    tmp_path, tiny_library
):
    (tmp_path / "surrogate_plugin.py").write_text(PLUGIN)
    (tmp_path / "drop_layer.py").write_text(documented())
    tiny_library.save(tmp_path / "library.json")
    rows = [f"a {'fine' if i % 2 else 'dull'} story number {i},{'good' if i % 2 else 'bad'}" for i in range(120)]
    (tmp_path / "films.csv").write_text("\n".join(["review,verdict", *rows]))
    flags = "--dataset_file library.json --run_dir run --task films.csv --pretrain_steps 0 --epochs 1 --num_init 1"
    flags += " --vocab_size 300 --max_length 16 --max_trials 2 --plugin surrogate_plugin drop_layer"
    flags += " --surrogate my_surrogate --origins scratch drop_layer --max_concurrent 1"
    environment = {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "search.run_boshnas"]

    def run(*arguments: str) -> set[str]:
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=HANG_S
        )
        assert done.returncode == 0, done.stderr[-3000:]
        processes = set((tmp_path / "imports.txt").read_text().split())
        (tmp_path / "imports.txt").unlink()
        return processes

    assert len(run(*flags.split())) >= 2  # the driver and a worker
    assert read_yaml(tmp_path / "run" / "config.yaml")["plugin"] == ["surrogate_plugin", "drop_layer"]
    journal = Journal(tmp_path / "run" / "journal.jsonl")
    before = journal.path.read_text()
    assert "2 trials finished" in (tmp_path / "run" / "report.html").read_text()
    assert len(run("--run_dir", "run", "--resume", "--max_trials", "3")) >= 2
    assert journal.path.read_text().startswith(before)
    events = list(journal.events())
    assert [event["trial"] for event in events if event["event"] == "finished"] == ["t0001", "t0002", "t0003"]
    suggested = [event for event in events if event["event"] == "suggested"]
    assert len({event["hash"] for event in suggested}) == len(suggested) == 3
    made = [event["hash"] for event in suggested if event["origin"]["kind"] == "drop_layer"]
    assert made
    assert "drop_layer" in (tmp_path / "run" / "report.html").read_text()
    assert "Is a trained parent" in (tmp_path / "run" / "models" / made[0] / "README.md").read_text()


def test_a_job_imports_its_plugins_before_its_candidate_is_read(plugin, tiny_library, monkeypatch):
    job = TrainingJob(
        trial="t0001",
        candidate=Candidate(tiny_library.specs[0], Origin()),
        data_dir="d",
        models_dir="m",
        work_dir="w",
        recipe=Recipe(),
        seed=0,
        plugins=("surrogate_plugin",),
    )

    def read(content):
        assert "surrogate_plugin" in sys.modules
        return job.candidate

    monkeypatch.setattr(Candidate, "from_dict", staticmethod(read))
    assert TrainingJob.from_json(job.to_json()).plugins == ("surrogate_plugin",)
    wrong = json.dumps(json.loads(job.to_json()) | {"plugins": ["not_there"]})
    with pytest.raises(ValueError, match="The plugin 'not_there' cannot be imported"):
        TrainingJob.from_json(wrong)


def test_plugins_come_from_files_too_and_their_names_are_choices_then(plugin):
    (plugin / "search.yaml").write_text("plugin: [surrogate_plugin]\nsurrogate: my_surrogate\n")
    flags = ["--dataset_file", "library.json", "--config", "search.yaml"]
    assert parse(flags).plugin == ("surrogate_plugin",)
    with pytest.raises(ValueError, match="'plugin' in x must be a list. Got 'surrogate_plugin'"):
        search_options(("x", {"dataset_file": "library.json", "plugin": "surrogate_plugin"}))
