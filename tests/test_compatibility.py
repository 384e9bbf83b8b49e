"""What the code at commit 78657ac wrote is loaded, and gone on with.

The files are in ``fixtures/made_at_78657ac``; ``make.py`` there says how they were made and what ``@ROOT@`` and
``@PYTHON@`` stand for. Nothing here names a module of the project that is not a public one: wherever things move, users
keep their folders.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import flexibert
from dataset import PreparedData
from design_space import DesignSpace, ModelSpec
from embeddings import GraphLibrary
from search import BOSHNAS, BOSHNASSearch, BOSHNASSettings, Candidate
from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "fixtures" / "made_at_78657ac"
MODELS = ("standard", "hetero", "grouped", "pruned", "classifier", "vit")
TEXT_FILES = (".json", ".jsonl", ".yaml", ".md")
LOAD_ELSEWHERE = """
import json, sys, torch, transformers
for room in ("flexibert", "design_space", "dataset", "embeddings", "search"):
    sys.modules[room] = None  # importing it is an ImportError
folder = sys.argv[1]
expected = json.load(open(folder + "/expected.json"))
model = getattr(transformers, expected["auto_class"]).from_pretrained(folder, trust_remote_code=True).eval()
assert type(model).__module__.startswith("transformers_modules."), type(model)
with torch.no_grad():
    output = model(**{name: torch.tensor(value) for name, value in expected["inputs"].items()})[expected["output"]]
print(json.dumps(output.tolist()))
"""


@pytest.fixture
def moved(tmp_path: Path) -> Callable[[str], Path]:
    """Copies a part of the fixtures to a place of its own, as if it had been made there."""

    def copy(name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(FIXTURES / name, folder)
        for file in folder.rglob("*"):
            if file.suffix in TEXT_FILES and file.is_file():
                text = file.read_text(encoding="utf-8")
                text = text.replace("@WORK@", str(folder / "run" / "work")).replace("@ROOT@", str(folder))
                text = text.replace("@PYTHON@", platform.python_version())
                file.write_text(text, encoding="utf-8")
        return folder

    return copy


def _expected(name: str) -> dict[str, Any]:
    return json.loads((FIXTURES / "models" / name / "expected.json").read_text())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("is_auto", [True, False], ids=["auto_class", "own_class"])
def test_a_model_computes_what_it_computed(name, is_auto):
    expected = _expected(name)
    own_class = getattr(flexibert, expected["class"])
    model_class = getattr(transformers, expected["auto_class"]) if is_auto else own_class
    model, report = model_class.from_pretrained(FIXTURES / "models" / name, output_loading_info=True)
    assert type(model) is own_class
    assert not any(report.values())
    assert model.num_parameters() == expected["num_parameters"]
    assert model.config.model_spec.hash == expected["hash"]
    with torch.no_grad():
        output = model.eval()(**{name: torch.tensor(value) for name, value in expected["inputs"].items()})
    np.testing.assert_allclose(output[expected["output"]].numpy(), expected["values"], rtol=0, atol=1e-5)


def test_a_models_names_architecture_and_history_are_kept(tmp_path):
    configs = {
        name: transformers.AutoConfig.from_pretrained(FIXTURES / "models" / name) for name in MODELS if name != "vit"
    }
    assert configs["classifier"].id2label == {0: "bad", 1: "so so", 2: "good"}
    heads = [[str(head) for head in layer.heads] for layer in configs["pruned"].model_spec.layers]
    assert heads == [["sa_wma_4", "c_3_4", "l_dft_4"], ["l_dct_8"]]  # of which the second layer had four
    assert configs["pruned"].lineage[0].startswith("pruned in one shot")
    assert [group.layers[0].hidden_size for group in configs["grouped"].model_spec.groups] == [8, 12]
    layers = configs["standard"].model_spec.layers
    operations = [(layer.heads[0].operation, layer.heads[0].parameter) for layer in layers]
    assert operations == [("sa", "sdp"), ("sa", "wma"), ("l", "dft"), ("l", "dct"), ("c", 3)]
    # What is saved again is the same model.
    model = flexibert.FlexiBERTModel.from_pretrained(FIXTURES / "models" / "standard")
    model.save_pretrained(tmp_path / "again")
    again = flexibert.FlexiBERTModel.from_pretrained(tmp_path / "again")
    for (name, before), (same_name, after) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == same_name
        assert torch.equal(before, after)


def test_a_model_folder_loads_by_its_own_code_where_the_project_is_not_installed(tmp_path):
    shutil.copytree(FIXTURES / "models" / "standard", tmp_path / "standard")
    environment = {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", LOAD_ELSEWHERE, str(tmp_path / "standard")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(json.loads(done.stdout), _expected("standard")["values"], rtol=0, atol=1e-5)


SCORED = (
    "52b3394067c049d6ea4bb5c146eb946ce3daae6e81492612e60def2b171f4c60",
    "ac5bae0e4749cf4fe0256d0fe84a4559e233eb63c9ea113643daa9d93acd991a",
    "83503adeb07e8a6eeb738044ba05e73172ca35bd1bedefbdf8f8f42fac9d9476",
)
SCORES = dict(zip(SCORED, ({"films": 0.25}, {"films": 0.75, "cola": -0.125}, {"films": 0.5}), strict=True))


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_a_graph_library_is_read_as_it_was_and_takes_further_scores(moved, suffix):
    folder = moved("library")
    space = DesignSpace.from_yaml(folder / "space.yaml")
    path = folder / f"library{suffix}"
    library = GraphLibrary.load(path, space=space)
    assert len(library) == space.size(layers_per_stack=1) == 72
    assert library.layers_per_stack == 1
    assert library.fingerprint == "db3373bb70f5af2bbf67353c9c1c8a433bda2219cbebe73c94cca70775bcbcbe"
    graph = library.get(SCORED[1])
    vector = [18.95141841, -20.37011809, -0.71554709, -0.03460951]
    np.testing.assert_allclose(graph.embedding, vector, rtol=0, atol=1e-6)
    assert [library.position(neighbor) for neighbor in graph.neighbors] == [66, 70, 64, 65, 68]
    assert library.quality["spearman"] == pytest.approx(0.98889228)
    stranger = ModelSpec.from_dict({"l": 1, "o": ["sa"], "h": [8], "n": [2], "f": [[32]], "p": ["sdp"]})
    assert stranger.hash not in library
    assert library.embed(stranger).shape == (4,)
    before = SCORES if suffix == ".json" else {}
    assert library.performances == before
    GraphLibrary.record(path, {library.hashes[3]: 0.625}, task="films", measured_on={"metric": "accuracy"})
    assert GraphLibrary.load(path).performances == before | {library.hashes[3]: {"films": 0.625}}


def test_prepared_data_are_read_as_they_were(moved):
    data = PreparedData.load(moved("data") / "prepared")
    assert (data.name, data.metric, data.task_type, data.label_names) == ("films", "accuracy", "text", ("bad", "good"))
    assert data.sizes == {"pretrain": 62, "pretrain_validation": 3, "train": 32, "validation": 4, "test": 4}
    assert (data.vocab_size, data.max_length, data.pretrain_length) == (300, 16, 16)
    assert len(data.pretrain) == 62
    assert {len(block) for block in data.pretrain["input_ids"]} == {16}
    first = data.split("train")[0]
    assert first["input_ids"] == [2, 276, 298, 270, 225, 296, 299, 274, 273, 225, 29, 3]
    assert first["labels"] == 1
    text = " fine and happy story number 9"
    assert data.tokenizer.decode(first["input_ids"], skip_special_tokens=True) == text
    assert data.tokenizer(text.strip(), truncation=True)["input_ids"] == first["input_ids"]
    assert data.split("test")["labels"][:] == [0, 1, 1, 0]
    assert data.measure(np.eye(2)[[0, 1, 1, 1]], "test")["accuracy"] == 0.75


def test_a_journal_with_every_origin_is_gone_on_with():
    library = GraphLibrary.load(FIXTURES / "library" / "library.json")
    events = _events(FIXTURES / "origins" / "journal.jsonl")
    candidates = {event["trial"]: Candidate.from_dict(event) for event in events if event["event"] == "suggested"}
    kinds = [candidate.origin.name for candidate in candidates.values()]
    assert kinds[:7] == ["scratch", "scratch", "scratch", "transfer", "prune", "stitch", "merge"]
    for event in events:
        if event["event"] == "suggested":
            candidate = candidates[event["trial"]]
            assert candidate.spec.hash == event["hash"]
            assert candidate.to_dict().items() <= event.items()
    assert candidates["t0005"].origin.arguments == (("density", 0.5),)
    assert len(candidates["t0006"].spec.groups) == len(candidates["t0006"].origin.parents) == 2
    settings = BOSHNASSettings(num_init=3, surrogate="gp", min_overlap=0.3, patience=100)
    search = BOSHNASSearch(BOSHNAS(library, seed=1, settings=settings))
    search.replay(events)
    assert (search.num_suggested, search.num_finished, search.num_failed) == (10, 8, 1)
    assert search.seconds_spent == pytest.approx(8 * 1.5)
    best = search.boshnas.best
    assert best is not None
    assert (best[0], best[1]) == (candidates["t0003"].spec, 0.7891)
    open_trial = search.suggest("first")
    assert isinstance(open_trial, dict)
    assert open_trial["trial"] == "t0010"
    assert Candidate.from_dict(open_trial) == candidates["t0010"]
    new = search.suggest("second")
    assert isinstance(new, dict)
    assert new["trial"] == "t0011"
    assert new["hash"] not in {candidate.spec.hash for candidate in candidates.values()}


def _events(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]


def _scores(journal: Path) -> dict[str, float]:
    return {event["trial"]: event["score"] for event in _events(journal) if event["event"] == "finished"}


def _weights(models_dir: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in models_dir.glob("*/model.safetensors")}


def _resume(run_dir: Path) -> str:
    command = [sys.executable, "-m", "search.run_boshnas", "--run_dir", str(run_dir), "--resume"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _check_gone_on(journal: Path, before: str, num_trials: int) -> None:
    """Nothing that was finished is done again, and all trials are finished."""
    assert journal.read_text(encoding="utf-8").startswith(before)
    old = [json.loads(line) for line in before.splitlines()]
    new = _events(journal)[len(old) :]
    finished_before = {event["trial"] for event in old if event["event"] == "finished"}
    suggested_before = {event["trial"] for event in old if event["event"] == "suggested"}
    names = {f"t{number:04d}" for number in range(1, num_trials + 1)}
    assert {event["trial"] for event in new} == names - finished_before
    assert {event["trial"] for event in new if event["event"] == "suggested"} == names - suggested_before
    finished = Counter(event["trial"] for event in _events(journal) if event["event"] == "finished")
    assert finished == dict.fromkeys(names, 1)


@pytest.mark.integration
def test_an_interrupted_run_goes_on_from_a_moved_folder(moved):
    folder = moved("interrupted")
    run, journal = folder / "run", folder / "run" / "journal.jsonl"
    before, scores, weights = journal.read_text(encoding="utf-8"), _scores(journal), _weights(run / "models")
    assert scores == {"t0001": 0.5, "t0002": 1.0, "t0003": 1.0}
    assert len(weights) == 3
    (checkpoint,) = (run / "work" / "t0004").glob("*/checkpoint-*")
    output = _resume(run)
    assert "films.csv" in output
    assert "no longer there. Going on with what was prepared from it" in output
    _check_gone_on(journal, before, 6)
    events = _events(journal)
    assert scores.items() <= _scores(journal).items()
    assert weights.items() <= _weights(run / "models").items()
    origins = {event["trial"]: event["origin"]["kind"] for event in events if event["event"] == "suggested"}
    assert list(origins.values()) == ["scratch", "scratch", "merge", "transfer", "prune", "stitch"]
    # The fourth went on after its first epoch of two, which is where its checkpoint is.
    assert checkpoint.name == "checkpoint-10"
    epochs = [event["progress"] for event in events if event["trial"] == "t0004" and "validation_score" in event]
    assert epochs[:3] == [0.5, 1.0, 1.0]
    hashes = {event["trial"]: event["hash"] for event in events if event["event"] == "suggested"}
    for trial, score in _scores(journal).items():
        saved = json.loads((run / "models" / hashes[trial] / "training.json").read_text())
        assert saved["result"]["score"] == score
    performances = GraphLibrary.load(folder / "library.json").performances
    assert performances == {hashes[trial]: {"films": score} for trial, score in _scores(journal).items()}
    assert not (run / "work").exists()
    best = json.loads((run / "best" / "evaluation.json").read_text())
    assert best["validation_score"] == 1.0
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run / "best")
    assert model.config.model_spec.hash == best["hash"]
    summary = (run / "summary.md").read_text()
    assert "6 trials (6 finished, 0 failed, 0 open)" in summary


@pytest.mark.integration
def test_an_interrupted_search_over_two_levels_goes_on_from_a_moved_folder(moved):
    folder = moved("levels")
    run = folder / "run"
    journals = [run / f"level-{number}" / "journal.jsonl" for number in (1, 2)]
    before, scores = [journal.read_text(encoding="utf-8") for journal in journals], list(map(_scores, journals))
    finer = (run / "library-2.parquet").read_bytes()
    known = GraphLibrary.load(run / "library-2.parquet")
    assert scores == [{"t0001": 0.5, "t0002": 0.5}, {"t0001": 1.0}]
    output = _resume(run)
    assert "The run has its 2 trials; nothing is left to train" in output
    assert journals[0].read_text(encoding="utf-8") == before[0]
    _check_gone_on(journals[1], before[1], 2)
    assert _scores(journals[1])["t0001"] == 1.0
    library = GraphLibrary.load(run / "library-2.parquet")
    assert library.hashes == known.hashes
    assert finer != (run / "library-2.parquet").read_bytes()  # it has the scores of the second level, too
    assert known.performances.items() <= library.performances.items()
    assert len(library.performances) == 4
    assert "| L2-t0002 |" in (run / "summary.md").read_text()
    best = json.loads((run / "best" / "evaluation.json").read_text())
    assert best["trial"] == "L2-t0001"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run / "best")
    assert model.config.model_spec.hash == best["hash"]
