"""Training one candidate: first weights by its origin, masked-LM pre-training where it starts from scratch,
fine-tuning on the task, or on each of several.

All state lies in the job's ``work_dir``, so a job that is run again after its process died goes on from the last
checkpoint; and a job whose model is already saved returns its measurements at once.
"""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, PreTrainedModel, Trainer, set_seed
from transformers.trainer_callback import PrinterCallback
from transformers.training_args import TrainingArguments
from transformers.utils import logging as transformers_logging

from dataset import PreparedData
from design_space.files import write_atomically
from flexibert import FlexiBERTConfig, FlexiBERTForMaskedLM, add_to_lineage

from ..candidate import RESULT_FILE, read_result
from .callbacks import Clock, Report, ReportLogs, StopWhenBehind
from .collators import MaskedBlocks, collator, measure_input
from .distributed import is_first, wait_for_all
from .evaluate import perplexity
from .initial_weights import initial_model
from .recipe import TrainingJob
from .result import Trained, TrainingResult, save_and_measure
from .samplers import OrderedTrainer
from .task_heads import Model, model_class, model_config, outputs_of
from .teacher import taught, taught_loss
from .tuning import RecipeTuner
from .uncertainty import score_error

FIGURES_FILE = "figures.json"
_NUM_CHECKPOINTS = 4


def train_candidate(job: TrainingJob, report: Report) -> TrainingResult:
    """Trains, measures and saves the job's candidate to ``models_dir/<hash>``; of several tasks that of the one with
    most training rows, and each task's in a folder of its name below.

    Args:
        report: called with intermediate figures: ``phase``, ``progress`` in [0, 1], ``loss`` and ``tokens_per_s``, or
            after an evaluation ``validation_score`` and ``epoch``.
    """
    saved = Path(job.models_dir) / job.candidate.spec.hash / RESULT_FILE
    if not saved.exists():
        torch.set_num_threads(job.num_threads)
        transformers_logging.disable_progress_bar()
        clock = Clock(Path(job.work_dir) / "seconds")
        data = PreparedData.load(job.data_dir)
        set_seed(job.seed)
        trained = [CandidateTrainer(job, task, clock, report).train() for task in data.tasks]
        if is_first():
            save_and_measure(job, data, trained, clock.lap)
            shutil.rmtree(job.work_dir, ignore_errors=True)
        wait_for_all()
    return TrainingResult(**read_result(saved.parent)["result"])


class CandidateTrainer:
    """Trains the job's candidate on one task.

    Args:
        data: the task, or one of several of the job.
        clock: counts the seconds of the whole job.
        report: see ``train_candidate``.
    """

    def __init__(self, job: TrainingJob, data: PreparedData, clock: Clock, report: Report) -> None:
        self._job, self._data, self._clock, self._report = job, data, clock, report
        self._work_dir = Path(job.work_dir)
        self._teacher = Path(job.teacher) / (data.name if job.has_part(data.path) else "") if job.teacher else None

    def train(self) -> Trained:
        """Fine-tunes from the candidate's first weights; a task that was done before the job was cut is read."""
        done = self._work_dir / f"trained-{self._data.name}"
        if (done / FIGURES_FILE).exists():
            content = json.loads((done / FIGURES_FILE).read_text())
            return Trained(model_class(self._data).from_pretrained(done), **content)
        model, overlap, figures = self._first_weights()
        metrics, tuning = self._fine_tune_best(model)
        trained = Trained(model, metrics, overlap, figures | tuning)
        if self._job.has_part(self._data.path):
            _keep(done, model, {"metrics": metrics, "overlap": overlap, "figures": trained.figures})
        return trained

    def _first_weights(self) -> tuple[Model, float, dict[str, float]]:
        """Returns the model before fine-tuning, its overlap with the parent, and figures of pre-training.

        Raises:
            ValueError: for a parent with another vocabulary.
        """
        job, config = self._job, model_config(self._job, self._data)
        model, overlap = initial_model(job, self._data, config)
        if not job.candidate.origin.morphism.needs_pretraining or not job.recipe.pretrain_steps:
            return model, overlap, {}
        add_to_lineage(model, f"Pre-trained from scratch for {job.recipe.pretrain_steps:,} steps on masked tokens.")
        pretrained, figures = self._pretrain(config)
        model.base_model.load_state_dict(pretrained.base_model.state_dict(), strict=False)
        return model, overlap, figures

    def _pretrain(self, config: FlexiBERTConfig) -> tuple[FlexiBERTForMaskedLM, dict[str, float]]:
        """Pre-trains on masked blocks; figures are the speed and the perplexity."""
        recipe, data, folder = self._job.recipe, self._data, self._work_dir / "pretrain"
        done = folder / "done"
        if (done / FIGURES_FILE).exists():
            return FlexiBERTForMaskedLM.from_pretrained(done), json.loads((done / FIGURES_FILE).read_text())
        model = FlexiBERTForMaskedLM(config)
        # How many tokens are hidden is known too late to compile.
        model.config.sparse_prediction = recipe.compile_backend == "none"
        trainer = OrderedTrainer(
            model=model,
            args=self._arguments(
                folder,
                max_steps=recipe.pretrain_steps,
                learning_rate=recipe.pretrain_learning_rate,
                per_device_train_batch_size=recipe.pretrain_batch_size,
                save_strategy="steps",
                save_steps=max(1, recipe.pretrain_steps // _NUM_CHECKPOINTS),
            ),
            data_collator=MaskedBlocks(data.tokenizer, share=recipe.mask_share, whole_words=recipe.whole_words),
            train_dataset=data.pretrain,
            callbacks=[ReportLogs(self._report, self._clock, "pretrain")],
        )
        figures = _fit(trainer, "pretrain") | {"pretrain_perplexity": perplexity(model, data, recipe)}
        _keep(done, model, figures)
        return model, figures

    def _fine_tune_best(self, model: Model) -> tuple[dict[str, float], dict[str, float]]:
        """Fine-tunes in place from the same first weights with each recipe tried; the best on validation wins. Returns
        its validation metrics and figures."""
        job, metric = self._job, self._data.metric
        first, tuner = copy.deepcopy(model.state_dict()), RecipeTuner(job.recipe, job.seed)
        best: tuple[dict[str, torch.Tensor], dict[str, float], dict[str, float]] | None = None
        for attempt in range(job.recipe.autotune_trials):
            model.load_state_dict(first)
            metrics, figures = self._fine_tune(model, tuner, attempt)
            tuner.tell(metrics[metric])
            if best is None or metrics[metric] > best[1][metric]:
                best = copy.deepcopy(model.state_dict()), metrics, figures
        assert best is not None
        weights, metrics, figures = best
        model.load_state_dict(weights)
        share = job.recipe.distillation_weight
        by_teacher = f"; a teacher's outputs were {share:.0%} of the loss" if self._teacher else ""
        add_to_lineage(model, f"Fine-tuned on {self._data.name}{by_teacher}.")
        return metrics, figures

    def _fine_tune(self, model: Model, tuner: RecipeTuner, attempt: int) -> tuple[dict[str, float], dict[str, float]]:
        """Fine-tunes in place by the tuner's next recipe and keeps the best epoch's weights; returns validation
        metrics, and figures of the speed."""
        recipe, data, score_key = tuner.propose(), self._data, f"eval_{self._data.metric}"
        answers: list[tuple[Any, Any]] = []

        def measure(predictions: Any) -> dict[str, float]:
            answers[:] = [data.answers(outputs_of(predictions), "validation")]
            return data.compute_metrics(*answers[0])

        trainer = OrderedTrainer(
            model=model,
            args=self._arguments(
                self._work_dir / f"finetune-{data.name}-{attempt}",
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
            data_collator=collator(data, self._job.candidate.spec),
            train_dataset=taught(data, self._teacher) if self._teacher else data.split("train"),
            eval_dataset=data.split("validation"),
            measure=measure,
            taught_loss=taught_loss(recipe, data) if self._teacher else None,
            callbacks=[
                ReportLogs(self._report, self._clock, "fine-tune", score_key),
                *([EarlyStoppingCallback(recipe.early_stopping)] if recipe.early_stopping else []),
                *([StopWhenBehind(tuner, score_key)] if recipe.autotune_trials > 1 else []),
            ],
        )
        figures = _fit(trainer, "finetune")
        trainer.evaluate()  # of the best epoch
        self._clock.lap()
        return data.compute_metrics(*answers[0]), figures | {"score_error": score_error(data, *answers[0])}

    def _arguments(self, folder: Path, **arguments: Any) -> TrainingArguments:
        return TrainingArguments(
            output_dir=str(folder),
            seed=self._job.seed,
            logging_steps=10,
            logging_nan_inf_filter=False,
            save_total_limit=1,
            report_to="none",
            disable_tqdm=True,
            log_level="error",
            log_level_replica="error",
            include_num_input_tokens_seen="non_padding",
            **self._job.recipe.trainer_arguments(has_gpu=torch.cuda.is_available()),
            **arguments,
        )


def last_checkpoint(folder: Path) -> str | None:
    """Returns the newest whole checkpoint of a ``Trainer`` folder; removes those whose last file is missing or cut."""
    whole = []
    for checkpoint in folder.glob("checkpoint-*"):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text())
            whole.append(checkpoint)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            shutil.rmtree(checkpoint, ignore_errors=True)  # another process may do the same
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def _fit(trainer: Trainer, phase: str) -> dict[str, float]:
    """Trains, from the last checkpoint where there is one; returns how fast, and what the batches were like."""
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(Path(trainer.args.output_dir))
    seconds = trainer.train(resume_from_checkpoint=checkpoint).metrics["train_runtime"]
    figures = measure_input(trainer.get_train_dataloader())
    measured = {f"{phase}_input_tokens_per_s": figures.tokens_per_s, f"{phase}_padding_share": figures.padding_share}
    if checkpoint is None:
        measured[f"{phase}_train_tokens_per_s"] = float(trainer.state.num_input_tokens_seen) / seconds
    return {name: round(value, 4) for name, value in measured.items()}


def _keep(folder: Path, model: PreTrainedModel, figures: dict[str, Any]) -> None:
    """Saves what a job that is cut need not do again; of several processes the first does."""
    if is_first():
        model.save_pretrained(folder)
        write_atomically(folder / FIGURES_FILE, json.dumps(figures))
    wait_for_all()
