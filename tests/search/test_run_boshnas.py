"""The command on real Ray, with real (tiny) training."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from dataset import PreparedData
from design_space import ModelSpec
from design_space.command import run_command
from embeddings import GraphLibrary
from search.records.journal import Journal
from search.run_boshnas import run_boshnas
from search.runs import level
from search.runs.level import saved
from search.runs.options import parse, search_options
from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "--pretrain_steps 12 --epochs 1 --vocab_size 300 --max_length 16 --num_init 2 --min_overlap 0.3 "
    "--surrogate gp --max_concurrent 2"
).split()

LIMIT = 40_000
"""Parameters; some of the tiny library's architectures have more."""


def _files(folder: Path, library: GraphLibrary) -> list[str]:
    """A library, a table and a corpus; the flags that name them."""
    library.save(folder / "library.json")
    rows = [
        f"a {'fine and happy' if i % 2 else 'dull and sad'} story number {i},{'good' if i % 2 else 'bad'}"
        for i in range(160)
    ]
    (folder / "films.csv").write_text("\n".join(["review,verdict", *rows]))
    (folder / "corpus.txt").write_text("\n".join(f"a story about people and films, number {i}" for i in range(200)))
    table = ["--task", str(folder / "films.csv"), "--corpus", str(folder / "corpus.txt")]
    return ["--dataset_file", str(folder / "library.json"), "--run_dir", str(folder / "run"), *table]


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "search.run_boshnas", *arguments]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=HANG_S, check=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_library):
    folder = tmp_path_factory.mktemp("search")
    goals = ["--objectives", "score", "parameters", "--constraints", f"parameters<={LIMIT}", "latency_ms=1000"]
    flags = [*_files(folder, tiny_library), *TINY, *goals]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run_boshnas([*flags, "--max_trials", "5"])
    return folder, flags, printed.getvalue()


@pytest.mark.integration
def test_every_trial_is_in_the_journal_and_every_model_is_saved(finished):
    folder, _, output = finished
    events = list(Journal(folder / "run" / "journal.jsonl").events())
    counts = Counter(event["event"] for event in events)
    assert counts["suggested"] == counts["finished"] == 5
    assert counts["started"] >= 5
    assert any("loss" in event for event in events if event["event"] == "reported")
    for event in events:
        if event["event"] == "finished":
            assert 0 <= event["score"] <= 1
            assert event["objectives"]["parameters"] > 1000
            assert event["objectives"]["latency_ms"] > 0
            assert event["cost_s"] > 0
        if event["event"] == "suggested":
            assert (folder / "run" / "models" / event["hash"] / "README.md").exists()
    origins = [event["origin"]["kind"] for event in events if event["event"] == "suggested"]
    assert origins[:2] == ["scratch", "scratch"]
    assert "transfer" in origins[2:]
    assert "best" in output
    assert not (folder / "run" / "work").exists()
    report = (folder / "run" / "report.html").read_text()
    assert "5 trials finished, 0 failed, 0 open" in report
    assert "Where in the library" in report


@pytest.mark.integration
def test_the_best_model_loads_with_auto_classes_and_gives_its_test_score(finished):
    folder, _, _ = finished
    evaluation = json.loads((folder / "run" / "best" / "evaluation.json").read_text())
    model = AutoModelForSequenceClassification.from_pretrained(folder / "run" / "best").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "run" / "best")
    data = PreparedData.load(folder / "run" / "data")
    test = data.split("test")
    rows = [dict(input_ids=row["input_ids"], attention_mask=row["attention_mask"]) for row in test]
    batch = tokenizer.pad(rows, padding="max_length", max_length=data.max_length, return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits.numpy()
    accuracy = data.compute_metrics(logits, test["labels"])["accuracy"]
    assert accuracy == pytest.approx(evaluation["metrics"]["accuracy"])
    assert evaluation["split"] == "test"
    assert evaluation["majority_share"] == pytest.approx(0.5)
    assert evaluation["also_in_training"] == data.also_in_training("test")
    summary = (folder / "run" / "summary.md").read_text()
    assert ("are in training too" in summary) == (evaluation["also_in_training"] > 0)
    assert "| t0001 |" in summary


@pytest.mark.integration
def test_scores_are_added_to_the_library(finished, tiny_library):
    folder, _, _ = finished
    library = GraphLibrary.load(folder / "library.json")
    assert len(library.performances) == 5
    assert library.fingerprint == tiny_library.fingerprint


@pytest.mark.integration
def test_a_finished_run_is_not_started_again_by_mistake(finished, capsys):
    """How it goes on with ``--resume`` is in ``tune/test_plugins_on_workers.py``."""
    _, flags, _ = finished
    with pytest.raises(SystemExit):
        run_command(run_boshnas, flags)
    assert "already holds a run. Go on with --resume" in capsys.readouterr().err


@pytest.mark.integration
def test_objectives_and_constraints_steer_a_run(finished):
    folder, _, _ = finished
    trials = Journal(folder / "run" / "journal.jsonl").trials().values()
    for trial in trials:
        saved = folder / "run" / "models" / trial.candidate.spec.hash / "training.json"
        # What is computed from the spec is what the worker counted.
        counted = json.loads(saved.read_text())["result"]["objectives"]["parameters"]
        assert trial.objectives["parameters"] == counted <= LIMIT
    summary = (folder / "run" / "summary.md").read_text()
    assert "Pareto front of score, parameters (" in summary
    assert f"constraints: parameters at most {LIMIT:g}, latency_ms at most 1000: kept" in summary
    assert "The Pareto front" in (folder / "run" / "report.html").read_text()
    evaluation = json.loads((folder / "run" / "best" / "evaluation.json").read_text())
    assert evaluation["feasible"] is True
    assert f"- speed of the saved model: {evaluation['speed']}" in summary
    assert evaluation["speed"].endswith("for 8 x 16 tokens in PyTorch on the CPU with 1 thread")
    assert evaluation["constraints"] == {"parameters": LIMIT, "latency_ms": 1000.0}


@pytest.mark.integration
def test_the_best_trials_are_confirmed_with_another_seed(finished):
    """Of a finished run: nothing is proposed, three are trained again, and the mean decides."""
    folder, flags, _ = finished
    run_boshnas([*flags, "--max_trials", "5", "--resume", "--confirm", "3"])
    again = json.loads((folder / "run" / "confirmed.json").read_text())
    trials = Journal(folder / "run" / "journal.jsonl").trials()
    ranked = sorted(trials.values(), key=lambda record: -(record.score or 0.0))
    able = [record for record in ranked if record.objectives["parameters"] <= LIMIT]
    assert set(again) == {record.trial for record in able[:3]}
    means = {trial: (trials[trial].score + score) / 2 for trial, score in again.items()}
    evaluation = json.loads((folder / "run" / "best" / "evaluation.json").read_text())
    error = trials[evaluation["trial"]].objectives["score_error"]
    assert means[evaluation["trial"]] >= max(means.values()) - max(error, 0.2)
    assert evaluation["validation_score"] == trials[evaluation["trial"]].score


@pytest.mark.integration
def test_a_run_of_another_library_is_refused(finished, tmp_path, tiny_space, capsys):
    folder, _, _ = finished
    GraphLibrary.build(tiny_space, layers_per_stack=1, max_graphs=40, embedding_size=4).save(tmp_path / "other.json")
    with pytest.raises(SystemExit):
        run_command(
            run_boshnas, ["--run_dir", str(folder / "run"), "--resume", "--dataset_file", str(tmp_path / "other.json")]
        )
    assert "searches another graph library than the one given" in capsys.readouterr().err


@pytest.mark.integration
def test_a_killed_run_of_heterogeneous_heads_resumes_and_loses_no_finished_trial(tmp_path, hetero_space):
    library = GraphLibrary.build(hetero_space, layers_per_stack=2, embedding_size=4, num_neighbors=5)
    flags = [*_files(tmp_path, library), *TINY, "--max_trials", "4", "--min_overlap", "0.05"]
    flags += ["--origins", "scratch", "transfer", "--max_concurrent", "1"]
    journal = Journal(tmp_path / "run" / "journal.jsonl")
    process = subprocess.Popen(
        _command(*flags), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + HANG_S
    while sum(event["event"] == "finished" for event in journal.events()) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with journal.path.open("a") as stream:
        stream.write('{"event": "finished", "tri')  # as a kill in the middle of writing leaves it
    before = {name: record.score for name, record in journal.trials().items() if record.state == "finished"}
    assert len(before) >= 2
    (tmp_path / "films.csv").unlink()
    done = _run("--run_dir", str(tmp_path / "run"), "--resume", "--objectives", "score", "latency_ms", "--quiet")
    assert done.returncode == 0, done.stderr[-3000:]
    assert " starts " not in done.stdout
    assert "quiet" not in (tmp_path / "run" / "config.yaml").read_text()
    assert "films.csv: no longer there. Going on with what was prepared from it" in done.stdout
    assert "Pareto front of score, latency_ms (" in (tmp_path / "run" / "summary.md").read_text()
    finished = [event for event in journal.events() if event["event"] == "finished"]
    assert Counter(event["trial"] for event in finished) == dict.fromkeys((f"t000{i}" for i in range(1, 5)), 1)
    assert before.items() <= {event["trial"]: event["score"] for event in finished}.items()
    candidates = [record.candidate for record in journal.trials().values()]
    assert {candidate.spec.format for candidate in candidates} == {"hetero"}
    assert candidates[0].origin.name == "scratch"
    assert "transfer" in {candidate.origin.name for candidate in candidates[2:]}
    best = json.loads((tmp_path / "run" / "best" / "config.json").read_text())
    assert ModelSpec.from_dict(best["model_dict"]) in library.specs


def _error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        run_command(run_boshnas, arguments)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--task", "colla"], "Unknown task 'colla'. Did you mean 'cola'"),
        (["--task", "cola", "--data_dir", "nowhere"], "nowhere"),
        (["--dataset_file", "nowhere.json"], "No library file"),
        (["--max_trials", "0"], "must be a whole number of at least 1. Got '0'"),
        (["--min_overlap", "2"], "'min_overlap' must be in [0, 1]. Got '2'"),
        (["--max_hours", "0"], "must be a finite number above 0. Got '0'"),
        (["--resources_per_trial", "ram=4"], "must give cpu, gpu or both, above 0 and finite. Got 'ram=4'"),
        (["--resume"], "holds no run (no config.yaml)"),
        (["--levels", "1,2"], "must be falling whole numbers with commas, for example 2,1. Got '1,2'"),
        (["--levels", "3,1"], "'levels' must begin with the layers per stack of the library, 2. Got 3,1"),
        (["--max_trials", "3,4"], "'max_trials' must be one number, or one for each of the 1 levels"),
        (["--epoch", "3"], "unknown argument --epoch. Did you mean '--epochs'"),
        (["--surrogate", "woods"], "'surrogate' must be one of mixture, features,"),
        (["--origins", "transfer"], "'origins' must include 'scratch'"),
        (["--confirm", "2", "--storage", "memory://x"], "'confirm' goes neither with 'levels' nor with 'storage'"),
        (["--objectives", "parameters"], "'objectives' must include 'score'. Got parameters"),
        (
            ["--objectives", "score", "size"],
            "must be one of score, parameters, flops, latency_ms, size_mb. Got 'size'",
        ),
        (["--constraints", "parameters>2e6"], "must be written like parameters=2e6 (at most 2 million), above 0. Got"),
        (["--constraints", "energy=3"], "must limit one of parameters, flops, latency_ms, size_mb. Got 'energy=3'"),
        (["--constraints", "parameters=1e3"], "None of the 272 architectures of the library keeps all constraints"),
        (["--learning_rate", "-1"], "'learning_rate' must be a finite number of at least 0. Got '-1'"),
        (["--learning_rate", "inf"], "'learning_rate' must be a finite number of at least 0. Got 'inf'"),
        (
            ["--pretrain_learning_rate", "nan"],
            "'pretrain_learning_rate' must be a finite number of at least 0. Got 'nan'",
        ),
        (["--min_overlap", "inf"], "'min_overlap' must be in [0, 1]. Got 'inf'"),
        (["--max_hours", "inf"], "must be a finite number above 0. Got 'inf'"),
        (["--constraints", "parameters=inf"], "must be written like parameters=2e6 (at most 2 million), above 0. Got"),
        (["--resources_per_trial", "cpu=inf"], "must give cpu, gpu or both, above 0 and finite. Got 'cpu=inf'"),
        (
            ["--resources_per_trial", "cpu=1,gpu=-1"],
            "must give cpu, gpu or both, above 0 and finite. Got 'cpu=1,gpu=-1'",
        ),
        (["--tokenizer", "/nowhere/vocabulary"], "'tokenizer' must be"),
        (
            ["--teacher", "bset"],
            "'teacher' must be one of best, ensemble, none, root, or the folder of a trained model",
        ),
        (["--teacher", "root"], "'teacher' root is the model that a search starts from, and this one starts from none"),
        (["--unlabelled", "x.csv"], "'unlabelled' rows are labelled by a teacher; choose one with --teacher"),
        (["--unlabelled", "x.csv", "--teacher", "best"], "x.csv"),
        (["--distillation_weight", "1.5"], "'distillation_weight' must be in [0, 1]. Got '1.5'"),
        (["--distillation_temperature", "0"], "must be a finite number above 0. Got '0'"),
        (["--corpus_weights", "inf"], "must be a finite number above 0. Got 'inf'"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_bad_flags_end_in_one_message(tmp_path, tiny_library, flags, message, capsys):
    given = [*_files(tmp_path, tiny_library), *TINY, *flags]
    assert message in _error(capsys, *given)


def test_a_library_cut_in_half_is_refused(tmp_path, tiny_library, capsys):
    flags = _files(tmp_path, tiny_library)
    whole = (tmp_path / "library.json").read_text()
    (tmp_path / "library.json").write_text(whole[: len(whole) // 2])
    assert "damaged or cut off" in _error(capsys, *flags)


def test_an_unreachable_cluster_is_named(tmp_path, tiny_library, capsys):
    flags = [*_files(tmp_path, tiny_library), *TINY]
    assert "No Ray cluster answers at '127.0.0.1:9'" in _error(capsys, *flags, "--address", "127.0.0.1:9")
    assert "is written host:port" in _error(capsys, *flags, "--address", "cluster", "--resume")


def test_a_configuration_file_gives_defaults_that_flags_override(tmp_path):
    config = tmp_path / "search.yaml"
    config.write_text(
        "dataset_file: library.json\nmax_trials: 7\nlearning_rate: 1e-4\nautotune: true\n"
        "resources_per_trial: {cpu: 2}\n"
    )
    options = parse(["--config", str(config), "--max_trials", "9"])
    assert (options.budget.max_trials, options.training.learning_rate, options.autotune) == ((9,), 1e-4, True)
    assert options.cluster.resources_per_trial == {"cpu": 2.0}
    assert options.dataset_file == Path("library.json").absolute()


def test_tables_and_vocabularies_are_found_from_elsewhere_and_names_stay_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cola").mkdir()
    (tmp_path / "saved").mkdir()
    (tmp_path / "search.yaml").write_text("task: three.jsonl\ntokenizer: vocab.txt\n")
    flags = ["--dataset_file", "library.json"]
    options = saved(parse([*flags, "--config", "search.yaml"]))
    assert (options["task"], options["tokenizer"]) == (str(tmp_path / "three.jsonl"), str(tmp_path / "vocab.txt"))
    for name in ("cola", "SST-2", "mnli-mm", "glue", "python_docs", "colla", "owner/name"):
        assert parse([*flags, "--task", name]).data.task == name
    assert parse([*flags, "--task", "saved"]).data.task == str(tmp_path / "saved")
    assert parse([*flags, "--tokenizer", "bert-base-uncased"]).data.tokenizer == "bert-base-uncased"
    assert parse(flags).data.tokenizer == "train"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("max_trial: 7", "Unknown key 'max_trial' in .* Did you mean 'max_trials'"),
        ("surrogate: woods", "'surrogate' in .* must be one of .*mixture.*. Got 'woods'"),
        ("max_trials: many", "'max_trials' in .*whole number of at least 1. Got 'many'"),
        ("autotune: maybe", "'autotune' in .*must be true or false. Got 'maybe'"),
    ],
    ids=["key", "choice", "number", "flag"],
)
def test_a_wrong_configuration_file_is_refused(tmp_path, content, message):
    (tmp_path / "search.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        parse(["--config", str(tmp_path / "search.yaml")])


SAVED = """
{dataset_file: /old/library.json, models_dir: null, prepared_dir: null, task: /old/films.csv, data_dir: null,
text_column: null,   text_pair_column: null, label_column: null, label_separator: null, metric: null,
validation_file: null, test_file: null,   corpus: [/old/a.txt, owner/name], corpus_weights: [1.0, 2.0],
tokenizer: train, vocab_size: 8000, max_length: 128,   pretrain_length: 512, max_train_examples: null, seed: 0,
levels: '2,1', max_trials: [7, 6], max_hours: null, keep_models: null,   scheduler: none, max_concurrent: null,
resources_per_trial: {cpu: 2.0, gpu: 0.5}, address: null, storage: /old/mem,   num_init: 10, surrogate:
features, origins: [scratch, transfer, prune, stitch, merge], min_overlap: 0.8, cost_aware: false,   patience:
5, objectives: [score, flops], constraints: [parameters<=2e6], recipe: original, baseline: [same-size],
epochs: 5, pretrain_steps: 100000, batch_size: 8, learning_rate: 2.0e-05, pretrain_learning_rate: 0.0001,
transfer_mode: consistent,   autotune: false, autotune_trials: 6}
"""
"""The options of a run as the first version saved them."""


FROM_A_ROOT = {"start_from": [], "pooling": None, "trim_vocabulary": False, "screen": 48}
"""What it did not have."""


def test_options_saved_by_the_first_version_are_read_and_saved_alike():
    options = search_options(("the saved run", yaml.safe_load(SAVED)))
    taught = {"teacher": None, "distillation_weight": 0.5, "distillation_temperature": 2.0, "unlabelled": None}
    taught["altered_copies"] = 0
    assert (
        saved(options)
        == yaml.safe_load(SAVED)
        | {"plugin": [], "track": [], "skip_empty": False, "runtime": "torch", "confirm": 0}
        | taught
        | FROM_A_ROOT
    )
    assert (options.training.gradient_accumulation, options.training.batch_size) == (8, 8)  # of the recipe, of a flag
    assert options.tuned_recipe.autotune_trials == 1
    assert search_options(("", yaml.safe_load(SAVED)), ("", {"autotune": True})).tuned_recipe.autotune_trials == 6
    assert [options.of_level(i, options.dataset_file).budget.max_trials for i in (0, 1)] == [(7,), (6,)]
    assert [options.of_level(i, options.dataset_file).baseline for i in (0, 1)] == [(), ("same-size",)]


def test_a_start_that_came_to_nothing_is_in_nobodys_way(tmp_path, tiny_library, capsys):
    nowhere = ["--address", "127.0.0.1:1"]
    given = [*_files(tmp_path, tiny_library), *TINY]
    for changes in ([], ["--max_length", "32"], ["--levels", "2,1", "--max_length", "24"]):
        assert "No Ray cluster answers" in _error(capsys, *given, *changes, *nowhere)
    prepared = PreparedData.load(tmp_path / "run" / "data")
    assert prepared.max_length == 24
    assert "No Ray cluster answers" in _error(capsys, *given, "--levels", "2,1", "--max_length", "24", *nowhere)


def test_a_library_that_cannot_be_written_is_told_at_the_start(tmp_path, tiny_library, capsys, monkeypatch):
    given = [*_files(tmp_path, tiny_library), *TINY]

    def refuse(folder):
        raise ValueError(f"{folder} cannot be written to")

    monkeypatch.setattr(level, "check_writable", refuse)
    assert f"{tmp_path} cannot be written to" in _error(capsys, *given)
    assert not (tmp_path / "run" / "data").exists()


@pytest.mark.integration
def test_a_search_that_is_told_to_end_says_how_it_goes_on(tmp_path, tiny_library):
    given = [*_files(tmp_path, tiny_library), *TINY, "--max_trials", "30", "--max_concurrent", "1"]
    journal = tmp_path / "run" / "journal.jsonl"
    with subprocess.Popen(_command(*given), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (journal.exists() and '"started"' in journal.read_text()):
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=HANG_S)
    assert process.returncode == 143
    assert said.splitlines()[-1] == f"stopped. Go on with: run_boshnas --run_dir {tmp_path / 'run'} --resume"
    assert "Traceback" not in said


@pytest.mark.integration
def test_a_search_whose_trials_all_fail_ends_in_one_message(tmp_path, tiny_library, capsys):
    given = [*_files(tmp_path, tiny_library), *TINY, "--max_concurrent", "1"]
    said = _error(capsys, *given, "--max_trials", "2", "--learning_rate", "1e30")
    last = said.splitlines()[-1]
    assert re.match(r"error: All \d trials failed, the last one with: .* diverged", last)
    assert last.endswith(f"Their tracebacks are in {tmp_path / 'run' / 'journal.jsonl'}")
    assert "in run_command" not in said
