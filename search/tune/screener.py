"""Children of one trained model, made and scored without training: on a worker, one after the other.

What the parent's heads, neurons and layers are worth is computed once, on training rows; each child is cut out,
repaired by least squares, and scored on other training rows: what the parent has learned there, a child has kept or
lost. That orders children better than validation rows do (docs/results/roots.md), and leaves these to the choice at the
end.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from dataset import PreparedData
from design_space import ModelSpec
from design_space.plugins import load_plugins
from flexibert.pruning import Shrinker

from ..objectives import Exact
from ..training.evaluate import outputs_on
from ..training.initial_weights import example_batches
from ..training.task_heads import Model, model_class
from .remote_training import fetched, node_folder
from .storage import Storage

EXAMPLES = 16
"""Batches by which heads, neurons and layers are judged and children are repaired."""

ROWS = 512
"""Training rows by which a child is scored, at most."""


@dataclass(frozen=True, kw_only=True)
class ScreeningJob:
    """Everything a worker needs to screen children of one parent.

    Attributes:
        data_dir: folder of the prepared data. model_dir: of the parent. score: that of the parent.
        storage: URI through which both travel when nodes share no folder; they are then names there.
        costs: exact ones by name, which limits are about.
        num_threads: of torch.
        plugins: modules that are imported first.
    """

    data_dir: str
    model_dir: str
    score: float
    costs: Mapping[str, Exact]
    num_threads: int
    storage: str = ""
    plugins: tuple[str, ...] = ()


class Screener:
    """One parent, ready to have children made of it."""

    def __init__(self, job: ScreeningJob) -> None:
        load_plugins(job.plugins)
        torch.set_num_threads(job.num_threads)
        data_dir, model_dir = Path(job.data_dir), Path(job.model_dir)
        if job.storage:
            storage, node = Storage(job.storage), node_folder(job.storage)
            data_dir, model_dir = (fetched(storage, name, node) for name in (job.data_dir, job.model_dir))
        data = PreparedData.load(data_dir)
        self._data, self._costs = data.tasks[data.largest_task], job.costs
        parent = model_class(self._data).from_pretrained(model_dir).eval()
        batches = list(example_batches(self._data, parent.config.model_spec, EXAMPLES))
        self._shrinker = Shrinker(parent, batches)
        rows = self._data.split("train")
        self._rows = rows.select(range(min(len(rows), ROWS)))
        self._gain = job.score - self._measured(parent)

    def guided(self, num_layers: int, limits: Mapping[str, float]) -> ModelSpec | None:
        """The child of so many layers that is left when what matters least for its size goes until all limits are
        kept; None where that cannot be."""
        return self._shrinker.largest(num_layers, lambda spec: self._keeps(spec, limits))

    def screened(self, spec: ModelSpec) -> tuple[ModelSpec, float]:
        """A child, and the parent's score with what the child loses or gains before it is trained; not a number of one
        that cannot be made."""
        try:
            child = self._shrinker.child(spec)
        except (ValueError, RuntimeError):
            return spec, math.nan
        return spec, self._measured(child) + self._gain

    def _measured(self, model: Model) -> float:
        return self._data.measure(outputs_on(self._rows, model, self._data), "train")[self._data.metric]

    def _keeps(self, spec: ModelSpec, limits: Mapping[str, float]) -> bool:
        return all(float(self._costs[name]([spec])[0]) <= limit for name, limit in limits.items())
