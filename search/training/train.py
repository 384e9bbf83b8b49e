"""Training one candidate: first weights by its origin, masked-LM pre-training where it starts from scratch,
fine-tuning on the task, or on each of several.

All state lies in the job's ``work_dir``, so a job that is run again after its process died goes on from the last
checkpoint; and a job whose model is already saved returns its measurements at once.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, PreTrainedModel, Trainer, set_seed
from transformers.trainer_callback import PrinterCallback, TrainerCallback
from transformers.training_args import TrainingArguments
from transformers.utils import logging as transformers_logging

from dataset import PreparedData
from design_space.files import write_atomically
from flexibert import FlexiBERTConfig, FlexiBERTForMaskedLM, add_to_lineage

from ..candidate import RESULT_FILE
from .collators import MaskedBlocks, collator, measure_input
from .distributed import is_first, wait_for_all
from .evaluate import perplexity
from .initial_weights import inherited
from .recipe import TrainingJob
from .result import Trained, TrainingResult, save_and_measure
from .samplers import OrderedTrainer
from .task_heads import Model, label_options, model_class, outputs_of
from .tuning import RecipeTuner

Report = Callable[[dict[str, Any]], None]

FIGURES_FILE = "figures.json"
_NUM_CHECKPOINTS = 4


def train_candidate(job: TrainingJob, report: Report) -> TrainingResult:
    """Train, measure and save the job's candidate to ``models_dir/<hash>``; of several tasks that of the one with most
    training rows, and each task's in a folder of its name below.

    Args:
        report: called with intermediate figures: ``phase``, ``progress`` in [0, 1], ``loss`` and ``tokens_per_s``, or
            after an evaluation ``validation_score`` and ``epoch``.
    """
    saved = Path(job.models_dir) / job.candidate.spec.hash / RESULT_FILE
    if not saved.exists():
        torch.set_num_threads(job.num_threads)
        transformers_logging.disable_progress_bar()
        clock = _Clock(Path(job.work_dir) / "seconds")
        data = PreparedData.load(job.data_dir)
        set_seed(job.seed)
        trained = [_train_on(job, task, clock, report) for task in data.tasks]
        if is_first():
            save_and_measure(job, data, trained, clock.lap)
            shutil.rmtree(job.work_dir, ignore_errors=True)
        wait_for_all()
    return TrainingResult(**json.loads(saved.read_text())["result"])


def _train_on(job: TrainingJob, task: PreparedData, clock: "_Clock", report: Report) -> Trained:
    """Fine-tune on one task from the candidate's first weights; a task that was done before the job was cut is
    read."""
    folder = Path(job.work_dir) / f"trained-{task.name}"
    if (folder / FIGURES_FILE).exists():
        content = json.loads((folder / FIGURES_FILE).read_text())
        return Trained(model_class(task).from_pretrained(folder), **content)
    first, overlap, figures = _first_weights(job, task, clock, report)
    model, metrics, tuning = _fine_tune_best(job, task, first, clock, report)
    trained = Trained(model, metrics, overlap, figures | tuning)
    if job.has_part(task.path):
        _keep(folder, model, {"metrics": metrics, "overlap": overlap, "figures": trained.figures})
    return trained


def _keep(folder: Path, model: PreTrainedModel, figures: dict[str, Any]) -> None:
    """Save what a job that is cut need not do again; of several processes the first does."""
    if is_first():
        model.save_pretrained(folder)
        write_atomically(folder / FIGURES_FILE, json.dumps(figures))
    wait_for_all()


def _first_weights(
    job: TrainingJob, data: PreparedData, clock: "_Clock", report: Report
) -> tuple[Model, float, dict[str, float]]:
    """The model before fine-tuning, its overlap with the parent, and figures of pre-training.

    Raises:
        ValueError: for a parent with another vocabulary.
    """
    config = _config(job, data)
    if job.candidate.origin.parents:
        model, overlap = inherited(job, data, config)
        return model, overlap, {}
    model = model_class(data)(config)
    if not job.recipe.pretrain_steps:
        return model, 0.0, {}
    add_to_lineage(model, f"Pre-trained from scratch for {job.recipe.pretrain_steps:,} steps on masked tokens.")
    pretrained, figures = _pretrain(job, data, config, clock, report)
    model.base_model.load_state_dict(pretrained.base_model.state_dict(), strict=False)
    return model, 0.0, figures


def _config(job: TrainingJob, data: PreparedData) -> FlexiBERTConfig:
    longest = max(data.max_length, data.pretrain_length)
    if longest > job.recipe.num_positions:
        raise ValueError(
            f"{data.path} holds texts of up to {longest} tokens, the recipe's models see {job.recipe.num_positions}. "
            "Prepare the data with the recipe's max_length and pretrain_length"
        )
    return FlexiBERTConfig(
        model_dict=job.candidate.spec.to_dict(),
        vocab_size=data.vocab_size,
        max_position_embeddings=job.recipe.num_positions,
        pad_token_id=data.tokenizer.pad_token_id,
        **label_options(data),
    )


def _pretrain(
    job: TrainingJob, data: PreparedData, config: FlexiBERTConfig, clock: "_Clock", report: Report
) -> tuple[FlexiBERTForMaskedLM, dict[str, float]]:
    recipe, folder = job.recipe, Path(job.work_dir) / "pretrain"
    done = folder / "done"
    if (done / FIGURES_FILE).exists():
        return FlexiBERTForMaskedLM.from_pretrained(done), json.loads((done / FIGURES_FILE).read_text())
    model = FlexiBERTForMaskedLM(config)
    model.config.sparse_prediction = recipe.compile_backend == "none"  # how many tokens is known too late to compile
    trainer = OrderedTrainer(
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
        data_collator=MaskedBlocks(data.tokenizer, share=recipe.mask_share, whole_words=recipe.whole_words),
        train_dataset=data.pretrain,
        callbacks=[_Reporter(report, clock, "pretrain")],
    )
    figures = _train(trainer, folder, "pretrain") | {"pretrain_perplexity": perplexity(model, data, recipe)}
    _keep(done, model, figures)
    return model, figures


def _fine_tune_best(
    job: TrainingJob, data: PreparedData, first: Model, clock: "_Clock", report: Report
) -> tuple[Model, dict[str, float], dict[str, float]]:
    """Fine-tune from the same first weights with each recipe tried; the best on validation wins."""
    weights = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    best: tuple[dict[str, torch.Tensor], dict[str, float], dict[str, float]] | None = None
    tuner = RecipeTuner(job.recipe, job.seed)
    for attempt in range(job.recipe.autotune_trials):
        first.load_state_dict(weights)
        folder = Path(job.work_dir) / f"finetune-{data.name}-{attempt}"
        metrics, figures = _fine_tune(job, tuner, folder, data, first, clock, report)
        tuner.tell(metrics[data.metric])
        if best is None or metrics[data.metric] > best[1][data.metric]:
            best = {name: tensor.clone() for name, tensor in first.state_dict().items()}, metrics, figures
    assert best is not None
    first.load_state_dict(best[0])
    add_to_lineage(first, f"Fine-tuned on {data.name}.")
    return first, best[1], best[2]


def _fine_tune(
    job: TrainingJob,
    tuner: RecipeTuner,
    folder: Path,
    data: PreparedData,
    model: Model,
    clock: "_Clock",
    report: Report,
) -> tuple[dict[str, float], dict[str, float]]:
    """Fine-tune in place by the tuner's next recipe, keep the best epoch's weights; returns validation metrics, and
    figures of the speed."""
    recipe = tuner.propose()
    measured: dict[str, float] = {}

    def measure(predictions: Any) -> dict[str, float]:
        measured.update(data.measure(outputs_of(predictions), "validation"))
        return dict(measured)  # to which the trainer adds

    trainer = OrderedTrainer(
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
        train_dataset=data.split("train"),
        eval_dataset=data.split("validation"),
        measure=measure,
        callbacks=[
            _Reporter(report, clock, "fine-tune", f"eval_{data.metric}"),
            *([EarlyStoppingCallback(recipe.early_stopping)] if recipe.early_stopping else []),
            *([_GiveUp(tuner, f"eval_{data.metric}")] if recipe.autotune_trials > 1 else []),
        ],
    )
    figures = _train(trainer, folder, "finetune")
    trainer.evaluate()
    clock.lap()
    return measured, figures


def _train(trainer: Trainer, folder: Path, phase: str) -> dict[str, float]:
    """Train, from the last checkpoint where there is one; how fast, and what the batches were like."""
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(folder)
    seconds = trainer.train(resume_from_checkpoint=checkpoint).metrics["train_runtime"]
    figures = measure_input(trainer.get_train_dataloader())
    measured = {f"{phase}_input_tokens_per_s": figures.tokens_per_s, f"{phase}_padding_share": figures.padding_share}
    if checkpoint is None:
        measured[f"{phase}_train_tokens_per_s"] = float(trainer.state.num_input_tokens_seen) / seconds
    return {name: round(value, 4) for name, value in measured.items()}


def _arguments(folder: Path, job: TrainingJob, **arguments: Any) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        seed=job.seed,
        logging_steps=10,
        logging_nan_inf_filter=False,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
        include_num_input_tokens_seen="non_padding",
        **job.recipe.trainer_arguments(has_gpu=torch.cuda.is_available()),
        **arguments,
    )


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint of a ``Trainer`` folder; those whose last file is missing or cut are removed."""
    whole = []
    for checkpoint in folder.glob("checkpoint-*"):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text())
            whole.append(checkpoint)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            shutil.rmtree(checkpoint, ignore_errors=True)  # another process may do the same
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


class _Clock:
    """Seconds spent on a job, kept on disk so that they add up over attempts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since = time.monotonic()
        self.total_s = float(path.read_text()) if path.exists() else 0.0

    def lap(self) -> float:
        """Add what went by since the last one; the seconds in all."""
        now = time.monotonic()
        self.total_s += now - self._since
        self._since = now
        if is_first():
            write_atomically(self._path, f"{self.total_s:.3f}")
        return self.total_s


class _Reporter(TrainerCallback):
    """Hands the trainer's logs on."""

    def __init__(self, report: Report, clock: _Clock, phase: str, score_key: str | None = None) -> None:
        self._report, self._clock, self._phase, self._score_key = report, clock, phase, score_key
        self._since_s, self._tokens = 0.0, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count from here."""
        self._since_s, self._tokens = time.monotonic(), int(state.num_input_tokens_seen)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Report a loss while training and a score after evaluating."""
        progress = round(state.global_step / max(state.max_steps, 1), 3)
        figures: dict[str, Any] = {"phase": self._phase, "progress": progress}
        if logs and "loss" in logs:
            figures["loss"] = float(logs["loss"])
            now, tokens = time.monotonic(), int(state.num_input_tokens_seen)
            figures["tokens_per_s"] = (tokens - self._tokens) / (now - self._since_s)
            self._since_s, self._tokens = now, tokens
        if logs and self._score_key in logs:
            figures["validation_score"] = float(logs[self._score_key])
            figures["epoch"] = round(state.epoch, 3)
        if len(figures) > 2:
            self._clock.lap()
            self._report(figures)


class _GiveUp(TrainerCallback):
    """Ends the training of a recipe that falls behind the others of its candidate."""

    def __init__(self, tuner: RecipeTuner, score_key: str) -> None:
        self._tuner, self._score_key = tuner, score_key

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        """After each epoch."""
        if self._tuner.falls_behind(float(metrics[self._score_key]), round(state.epoch)):
            control.should_training_stop = True
