"""First weights from trained parents, by the origin of a candidate."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from dataset import PreparedData
from flexibert import FlexiBERTConfig, Training, merge_layers, prune, stitch

from .collators import collator
from .recipe import TrainingJob
from .task_heads import Model, model_class

EXAMPLES = 512
"""Training rows by which pruning judges heads and neurons."""

MERGING_STEPS = 200
"""Batches from which every merged layer learns what the two before did."""

_BATCH_SIZE = 32


def inherited(job: TrainingJob, data: PreparedData, config: FlexiBERTConfig) -> tuple[Model, float]:
    """The job's model with what its parents give it, before fine-tuning, and the share of its encoder that they give.

    Of several tasks a transfer comes from the parent's model for the task with most rows, other children from its model
    for the same task, which they go on from.

    Args:
        data: the task; one of several of the job.
        config: of the model that is wanted.

    Raises:
        ValueError: for a parent with another vocabulary, or one that no longer makes this child.
    """
    origin = job.candidate.origin
    own = data.name if origin.kind != "transfer" and job.has_part(data.path) else ""
    parents = [_parent(Path(job.models_dir) / graph_hash / own, data) for graph_hash in origin.parents]
    if origin.kind == "transfer":
        model = model_class(data)(config, transfer_mode=job.recipe.transfer_mode)
        return model, model.load_model_from_source(parents[0])
    if origin.kind == "prune":
        child = prune(parents[0], spec=job.candidate.spec, examples=_batches(data, parents[0], EXAMPLES))
    elif origin.kind == "merge":
        training = Training(steps=MERGING_STEPS, seed=job.seed)
        batches = _batches(data, parents[0], MERGING_STEPS * _BATCH_SIZE)
        child = merge_layers(
            parents[0], ({name: batch[name] for name in INPUTS} for batch in batches), training=training
        )
    else:
        child = stitch(*parents)
    if child.config.model_spec.hash != job.candidate.spec.hash:
        raise ValueError(f"{origin} makes another architecture than {job.candidate.spec.hash[:12]}")
    return _for_task(child, model_class(data)(config)), 1.0


INPUTS = ("input_ids", "attention_mask")


def _parent(folder: Path, data: PreparedData) -> Model:
    parent = model_class(data).from_pretrained(folder)
    if parent.config.vocab_size != data.vocab_size:
        raise ValueError(
            f"The tokenizer has {data.vocab_size:,} tokens, but the parent in {folder} was "
            f"trained with {parent.config.vocab_size:,}. Use its tokenizer, or another --models_dir"
        )
    return parent


def _batches(data: PreparedData, model: Model, num_rows: int) -> Iterator[dict[str, Any]]:
    """Batches of the first training rows, with labels."""
    train = data.split("train")
    rows = train.select(range(min(num_rows, len(train))))
    return iter(DataLoader(rows, batch_size=_BATCH_SIZE, collate_fn=collator(data, model.config.model_spec)))


def _for_task(child: Model, model: Model) -> Model:
    """``model`` with the child's weights; those of its head too, where it has as many outputs."""
    model.config.lineage = child.config.lineage
    model.base_model.load_state_dict(child.base_model.state_dict())
    head, wanted = dict(child.named_parameters()), dict(model.named_parameters())
    prefix = f"{model.base_model_prefix}."
    fitting = {
        name: head[name]
        for name in wanted
        if not name.startswith(prefix) and name in head and head[name].shape == wanted[name].shape
    }
    model.load_state_dict(fitting, strict=False)
    return model
