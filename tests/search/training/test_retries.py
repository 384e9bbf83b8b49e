"""Failed trainings are tried again where that may help, and end with their reason otherwise."""

import dataclasses
import errno
import shutil
from pathlib import Path

import pytest
import torch

import search.training.retries
from search import BOSHNAS, BOSHNASSearch, Candidate, Origin
from search.records.journal import Journal
from search.training.recipe import Recipe, TrainingJob
from search.training.retries import DiskFull, disk_full_cause, train_with_retries, with_smaller_batches


@pytest.fixture
def tiny_job(tiny_library, tmp_path):
    return TrainingJob(
        trial="t0001",
        candidate=Candidate(tiny_library.specs[0], Origin()),
        data_dir=str(tmp_path / "data"),
        models_dir=str(tmp_path / "models"),
        work_dir=str(tmp_path / "work"),
        recipe=Recipe(),
        seed=0,
    )


@pytest.fixture
def attempts(monkeypatch):
    """The recipes that are trained with; each attempt takes the next error, none of them succeeds for good."""
    seen = []
    errors = []

    def train(job, report):
        seen.append(job.recipe)
        if errors:
            error = errors.pop(0)
            if isinstance(error, float):
                report({"phase": "finetune", "progress": 0.5, "loss": error})
            raise error
        return "trained"

    monkeypatch.setattr(search.training.retries, "train_candidate", train)
    return seen, errors


def test_out_of_memory_halves_the_batches_and_keeps_the_texts_per_step(attempts, tiny_job, tmp_path):
    seen, errors = attempts
    errors[:] = [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()]
    checkpoint = tmp_path / "work" / "finetune" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    reports = []
    assert train_with_retries(tiny_job, reports.append) == "trained"
    assert [(recipe.batch_size, recipe.gradient_accumulation) for recipe in seen] == [(32, 1), (16, 2), (8, 4)]
    assert [report["note"] for report in reports] == ["out of memory; batches of 16", "out of memory; batches of 8"]
    assert not checkpoint.exists()  # its trainer would go on with batches of 32


def test_memory_that_is_never_enough_ends_with_the_traceback(attempts, tiny_job):
    seen, errors = attempts
    errors[:] = [RuntimeError("DefaultCPUAllocator: can't allocate memory")] * 9
    assert "can't allocate memory" in train_with_retries(tiny_job, lambda _: None)
    assert len(seen) == 4


def test_divergence_is_tried_once_at_a_third_of_the_learning_rate(attempts, tiny_job):
    seen, errors = attempts
    errors[:] = [float("nan"), float("inf")]
    explained = train_with_retries(dataclasses.replace(tiny_job, recipe=Recipe(learning_rate=3e-3)), lambda _: None)
    assert [recipe.learning_rate for recipe in seen] == [3e-3, pytest.approx(1e-3)]
    assert "training diverged: the loss is inf at 50% of finetune" in explained


def test_other_errors_are_final(attempts, tiny_job):
    seen, errors = attempts
    errors[:] = [ValueError("The tokenizer has 300 tokens, but the parent was trained with 400")]
    assert "The tokenizer has 300 tokens" in train_with_retries(tiny_job, lambda _: None)
    assert len(seen) == 1


def test_gradient_accumulation_makes_up_for_small_batches():
    recipe = with_smaller_batches(Recipe(batch_size=7, pretrain_batch_size=1, gradient_accumulation=2))
    assert (recipe.batch_size, recipe.pretrain_batch_size, recipe.gradient_accumulation) == (3, 1, 4)


def test_a_full_disk_is_no_fault_of_the_candidate(attempts, tiny_job):
    _, errors = attempts
    error = RuntimeError("the trainer failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/models")
    errors[:] = [error]
    with pytest.raises(DiskFull, match="No space left on device"):
        train_with_retries(tiny_job, lambda _: None)
    assert disk_full_cause(OSError(errno.EACCES, "Permission denied")) is None
    # As safetensors, which is not written in Python, and shutil, of several files, say it.
    for told in (
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        shutil.Error([("/a", "/b", "[Errno 28] No space left on device: '/b'")]),
    ):
        found = disk_full_cause(told)
        assert found is not None
        assert found.errno == errno.ENOSPC


def test_an_error_that_is_its_own_cause_is_looked_at_once():
    error = RuntimeError("no storage")
    error.__cause__ = error
    assert disk_full_cause(error) is None


def test_a_search_on_a_full_disk_ends_and_leaves_its_trials_open(tiny_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    search = BOSHNASSearch(BOSHNAS(tiny_library), journal=journal)
    search.suggest("a")
    search.suggest("b")
    search.on_trial_complete("a", {"disk_full": "[Errno 28] No space left on device"})
    assert search.suggest("c") is None  # b is still running
    search.on_trial_complete("b", {"score": 0.5})
    assert search.suggest("c") == "FINISHED"
    assert [record.state for record in journal.trials().values()] == ["open", "finished"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_journal_on_a_full_disk_says_so(tmp_path):
    (tmp_path / "journal.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        Journal(tmp_path / "journal.jsonl").append("started", "t0001")
