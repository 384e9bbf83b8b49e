"""First weights, by the morphism of a candidate's origin."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from dataset import PreparedData
from design_space import ModelSpec
from flexibert import Child, FlexiBERTConfig, FlexiBERTModel, Materials, add_to_lineage, transfer_overlap

from .collators import collator
from .recipe import TrainingJob
from .task_heads import Model, model_class

_BATCH_SIZE = 32


def initial_model(job: TrainingJob, data: PreparedData, config: FlexiBERTConfig) -> tuple[Model, float]:
    """The job's model with what its parents give it, before any training, and the share of its encoder that they give.

    Of several tasks, an architecture of the space inherits from the parent's model for the task with most rows, one
    made of its parents' from their models for the same task, which it goes on from.

    Args:
        data: the task; one of several of the job.
        config: of the model that is wanted.

    Raises:
        ValueError: for a parent with another vocabulary, or a morphism that does not end at this child.
    """
    origin, spec = job.candidate.origin, job.candidate.spec
    morphism = origin.morphism
    own = data.name if morphism.is_constructive and job.has_part(data.path) else ""
    parents = [
        _parent(Path(job.models_dir) / graph_hash / own, data, config.vocab_size) for graph_hash in origin.parents
    ]
    materials = Materials(
        batches=functools.partial(example_batches, data, parents[0].config.model_spec if parents else spec),
        blank=lambda: model_class(data)(config, transfer_mode=job.recipe.transfer_mode),
        pretrained=lambda name: FlexiBERTModel.from_pretrained(job.roots[name]),
        seed=job.seed,
    )
    child = morphism.make(parents, Child(spec, dict(origin.arguments)), materials)
    if child.config.model_spec.hash != spec.hash:
        raise ValueError(f"{origin} makes another architecture than {spec.hash[:12]}")
    if not morphism.needs_pretraining and child.config.lineage in (None, *(one.config.lineage for one in parents)):
        add_to_lineage(child, morphism.sentence, parents)
    if morphism.is_constructive:
        child = _for_task(child, materials.blank())
    overlap = functools.partial(
        transfer_overlap, config=config, pooler=child.base_model.pooler is not None, mode=job.recipe.transfer_mode
    )
    return child, morphism.inherited_share([parent.config.model_spec for parent in parents], spec, overlap)


def _parent(folder: Path, data: PreparedData, vocab_size: int) -> Model:
    parent = model_class(data).from_pretrained(folder)
    if parent.config.vocab_size != vocab_size:
        raise ValueError(
            f"The tokenizer has {vocab_size:,} tokens, but the parent in {folder} was "
            f"trained with {parent.config.vocab_size:,}. Use its tokenizer, or another --models_dir"
        )
    return parent


def example_batches(data: PreparedData, spec: ModelSpec, count: int) -> Iterator[dict[str, Any]]:
    """So many batches of the last training rows, with labels, for a model of an architecture: what is made by them can
    be judged by the first."""
    train = data.split("train")
    rows = train.select(range(max(0, len(train) - count * _BATCH_SIZE), len(train)))
    return iter(DataLoader(rows, batch_size=_BATCH_SIZE, collate_fn=collator(data, spec)))


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
