"""Training one candidate: first weights by its origin, masked-LM pre-training where it starts from scratch,
fine-tuning, measurement.

All state lies in the job's ``work_dir``, so a job that is run again after its process died goes on from the last
checkpoint; and a job whose model is already saved returns its measurements at once.
"""

import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling, Trainer, set_seed
from transformers.trainer_callback import PrinterCallback, TrainerCallback
from transformers.training_args import TrainingArguments
from transformers.utils import logging as transformers_logging

from dataset import PreparedData
from flexibert import FlexiBERTConfig, FlexiBERTForMaskedLM, FlexiBERTForSequenceClassification

from .batches import collator
from .measurement import latency_ms
from .model_card import write_model_card
from .recipe import Recipe, TrainingJob, recipes_to_try

Report = Callable[[dict[str, Any]], None]

RESULT_FILE = "training.json"
_NUM_CHECKPOINTS = 4


@dataclass(frozen=True)
class TrainingResult:
    """What a trained candidate measured.

    Attributes:
        score: the task's metric on the validation split; higher is better.
        objectives: ``parameters``, ``latency_ms`` and every metric of the task.
        cost_s: seconds of training and evaluation, of all attempts together.
        overlap: share of parameters that came from the parent; 0 from scratch.
    """

    score: float
    objectives: dict[str, float]
    cost_s: float
    overlap: float


def train_candidate(job: TrainingJob, report: Report) -> TrainingResult:
    """Train, measure and save the job's candidate to ``models_dir/<hash>``.

    Args:
        report: called with intermediate figures: ``phase``, ``progress`` in [0, 1], ``loss``, and ``score`` after an
            evaluation.
    """
    model_dir = Path(job.models_dir) / job.candidate.spec.hash
    if (model_dir / RESULT_FILE).exists():
        return TrainingResult(**json.loads((model_dir / RESULT_FILE).read_text())["result"])
    torch.set_num_threads(job.num_threads)
    transformers_logging.disable_progress_bar()
    clock = _Clock(Path(job.work_dir) / "seconds")
    data = PreparedData.load(job.data_dir)
    set_seed(job.seed)
    first, overlap = _first_weights(job, data, clock, report)
    model, metrics = _fine_tune_best(job, data, first, clock, report)
    objectives = {
        **metrics,
        "parameters": float(sum(parameter.numel() for parameter in model.parameters())),
        "latency_ms": latency_ms(model, data.vocab_size, length=job.recipe.max_length),
    }
    clock.lap()
    result = TrainingResult(metrics[data.metric], objectives, round(clock.total_s, 2), overlap)
    _save(job, data, model, result, model_dir)
    shutil.rmtree(job.work_dir, ignore_errors=True)
    return result


def _first_weights(
    job: TrainingJob, data: PreparedData, clock: "_Clock", report: Report
) -> tuple[FlexiBERTForSequenceClassification, float]:
    """The model before fine-tuning, and its overlap with the parent."""
    config = _config(job, data)
    if job.candidate.origin.parent is not None:
        parent = FlexiBERTForSequenceClassification.from_pretrained(Path(job.models_dir) / job.candidate.origin.parent)
        model = FlexiBERTForSequenceClassification(config, transfer_mode=job.recipe.transfer_mode)
        return model, model.load_model_from_source(parent)
    model = FlexiBERTForSequenceClassification(config)
    if job.recipe.pretrain_steps:
        pretrained = _pretrain(job, data, config, clock, report)
        model.base_model.load_state_dict(pretrained.base_model.state_dict(), strict=False)
    return model, 0.0


def _config(job: TrainingJob, data: PreparedData) -> FlexiBERTConfig:
    return FlexiBERTConfig(
        model_dict=job.candidate.spec.to_dict(),
        vocab_size=data.vocab_size,
        max_position_embeddings=job.recipe.max_length,
        pad_token_id=data.tokenizer.pad_token_id,
        num_labels=data.num_labels,
        problem_type="regression" if data.is_regression else "single_label_classification",
        **({} if data.is_regression else {"id2label": dict(enumerate(data.label_names))}),
        **({} if data.is_regression else {"label2id": {name: i for i, name in enumerate(data.label_names)}}),
    )


def _pretrain(
    job: TrainingJob, data: PreparedData, config: FlexiBERTConfig, clock: "_Clock", report: Report
) -> FlexiBERTForMaskedLM:
    recipe, folder = job.recipe, Path(job.work_dir) / "pretrain"
    done = folder / "done"
    if done.exists():
        return FlexiBERTForMaskedLM.from_pretrained(done)
    model = FlexiBERTForMaskedLM(config)
    trainer = Trainer(
        model=model,
        args=_arguments(
            folder,
            job,
            max_steps=recipe.pretrain_steps,
            learning_rate=recipe.pretrain_learning_rate,
            per_device_train_batch_size=recipe.pretrain_batch_size,
            save_strategy="steps",
            save_steps=max(1, recipe.pretrain_steps // _NUM_CHECKPOINTS),
        ),
        data_collator=DataCollatorForLanguageModeling(data.tokenizer, mlm_probability=0.15),
        train_dataset=data.pretrain,
        callbacks=[_Reporter(report, clock, "pretrain")],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    model.save_pretrained(done)
    return model


def _fine_tune_best(
    job: TrainingJob, data: PreparedData, first: FlexiBERTForSequenceClassification, clock: "_Clock", report: Report
) -> tuple[FlexiBERTForSequenceClassification, dict[str, float]]:
    """Fine-tune from the same first weights with each recipe tried; the best on validation wins."""
    weights = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    best: tuple[dict[str, torch.Tensor], dict[str, float]] | None = None
    for attempt, recipe in enumerate(recipes_to_try(job.recipe, job.seed)):
        first.load_state_dict(weights)
        metrics = _fine_tune(job, recipe, Path(job.work_dir) / f"finetune-{attempt}", data, first, clock, report)
        if best is None or metrics[data.metric] > best[1][data.metric]:
            best = {name: tensor.clone() for name, tensor in first.state_dict().items()}, metrics
    assert best is not None
    first.load_state_dict(best[0])
    return first, best[1]


def _fine_tune(
    job: TrainingJob,
    recipe: Recipe,
    folder: Path,
    data: PreparedData,
    model: FlexiBERTForSequenceClassification,
    clock: "_Clock",
    report: Report,
) -> dict[str, float]:
    """Fine-tune in place, keep the best epoch's weights, and return its validation metrics."""
    trainer = Trainer(
        model=model,
        args=_arguments(
            folder,
            job,
            num_train_epochs=recipe.epochs,
            learning_rate=recipe.learning_rate,
            per_device_train_batch_size=recipe.batch_size,
            per_device_eval_batch_size=128,
            train_sampling_strategy="group_by_length",
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
            metric_for_best_model=data.metric,
            greater_is_better=True,
        ),
        data_collator=collator(data, job.candidate.spec),
        train_dataset=data.train,
        eval_dataset=data.validation,
        compute_metrics=lambda output: data.compute_metrics(_one_column(output.predictions), output.label_ids),
        callbacks=[_Reporter(report, clock, "fine-tune", f"eval_{data.metric}")],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    metrics = trainer.evaluate()
    clock.lap()
    own = data.compute_metrics(np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64))
    return {name: float(metrics[f"eval_{name}"]) for name in own}


def _one_column(predictions: np.ndarray) -> np.ndarray:
    """Regression outputs (N, 1) as (N,)."""
    return predictions[:, 0] if predictions.ndim == 2 and predictions.shape[1] == 1 else predictions


def _arguments(folder: Path, job: TrainingJob, **arguments: Any) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        seed=job.seed,
        weight_decay=job.recipe.weight_decay,
        warmup_steps=job.recipe.warmup_share,
        lr_scheduler_type="linear",
        logging_steps=10,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        dataloader_pin_memory=torch.cuda.is_available(),
        **arguments,
    )


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint of a ``Trainer`` folder; torn ones (without their last-written file) are removed."""
    whole = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / "trainer_state.json").exists():
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def _save(
    job: TrainingJob,
    data: PreparedData,
    model: FlexiBERTForSequenceClassification,
    result: TrainingResult,
    model_dir: Path,
) -> None:
    """Write the model folder under another name and rename it, so that it is there whole or not at all."""
    partial = model_dir.with_name(f".{model_dir.name}.{job.trial}")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    data.tokenizer.save_pretrained(partial)
    content = {"trial": job.trial, "candidate": job.candidate.to_dict(), "result": dataclasses.asdict(result)}
    (partial / RESULT_FILE).write_text(json.dumps(content, indent=2))
    write_model_card(partial, job.candidate, result.objectives, data)
    shutil.rmtree(model_dir, ignore_errors=True)
    partial.rename(model_dir)


class _Clock:
    """Seconds spent on a job, kept on disk so that they add up over attempts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since = time.monotonic()
        self.total_s = float(path.read_text()) if path.exists() else 0.0

    def lap(self) -> None:
        now = time.monotonic()
        self.total_s += now - self._since
        self._since = now
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(f"{self.total_s:.3f}")


class _Reporter(TrainerCallback):
    """Hands the trainer's logs on."""

    def __init__(self, report: Report, clock: _Clock, phase: str, score_key: str | None = None) -> None:
        self._report, self._clock, self._phase, self._score_key = report, clock, phase, score_key

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Report a loss while training and a score after evaluating."""
        figures: dict[str, Any] = {
            "phase": self._phase,
            "progress": round(state.global_step / max(state.max_steps, 1), 3),
        }
        if logs and "loss" in logs:
            figures["loss"] = float(logs["loss"])
        if logs and self._score_key in logs:
            figures["validation_score"] = float(logs[self._score_key])
        if len(figures) > 2:
            self._clock.lap()
            self._report(figures)
