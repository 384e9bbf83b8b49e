"""How a candidate is trained, and the message that tells a worker to train one."""

import dataclasses
import json
import random
from dataclasses import dataclass
from typing import Any

from .candidate import Candidate


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of pre-training (masked language modelling) and fine-tuning.

    Attributes:
        pretrain_steps: optimiser steps of pre-training of a candidate from scratch; 0 for none.
        epochs: passes over the task's training split.
        transfer_mode: ``OD`` (ordered) or ``RP`` (random projection), for candidates with a parent.
        autotune_trials: fine-tuning recipes tried per candidate; the first is this one, the others draw their
            learning rate (within a factor 3) and batch size (half, the same or double).
        max_length: most tokens of a text; the data are prepared with it, and it bounds the model's positions.
    """

    pretrain_steps: int = 200
    pretrain_batch_size: int = 32
    pretrain_learning_rate: float = 1e-3
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup_share: float = 0.1
    transfer_mode: str = "OD"
    autotune_trials: int = 1
    max_length: int = 64

    def __post_init__(self) -> None:
        problems = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "int" or field.type is int:
                least = 0 if field.name == "pretrain_steps" else 1
                if not isinstance(value, int) or isinstance(value, bool) or value < least:
                    problems.append(f"'{field.name}' must be a whole number of at least {least}. Got {value!r}")
            elif field.type is float and not (isinstance(value, (int, float)) and value >= 0):
                problems.append(f"'{field.name}' must be a number of at least 0. Got {value!r}")
        if self.transfer_mode not in ("RP", "OD"):
            problems.append(f"'transfer_mode' must be 'RP' or 'OD'. Got {self.transfer_mode!r}")
        if problems:
            raise ValueError("\n  - ".join(["Problems in the training recipe:", *problems]))


def recipes_to_try(recipe: Recipe, seed: int) -> list[Recipe]:
    """The recipe and ``autotune_trials - 1`` seeded variations of its learning rate and batch size."""
    rng = random.Random(seed)
    variations = [
        dataclasses.replace(
            recipe,
            learning_rate=recipe.learning_rate * 3 ** rng.uniform(-1, 1),
            batch_size=max(1, int(recipe.batch_size * rng.choice([0.5, 1, 2]))),
        )
        for _ in range(recipe.autotune_trials - 1)
    ]
    return [recipe, *variations]


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Everything a worker needs to train one candidate; plain data, so that it travels as JSON.

    Attributes:
        data_dir: folder of the prepared data. models_dir: where trained models lie, by hash. work_dir: the trial's
            checkpoints.
    """

    trial: str
    candidate: Candidate
    data_dir: str
    models_dir: str
    work_dir: str
    recipe: Recipe
    seed: int
    num_threads: int = 1

    def to_json(self) -> str:
        """The job as a JSON string."""
        content: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("candidate", "recipe")
        }
        return json.dumps(content | {"candidate": self.candidate.to_dict(), "recipe": dataclasses.asdict(self.recipe)})

    @staticmethod
    def from_json(text: str) -> "TrainingJob":
        """The inverse of ``to_json``."""
        content = json.loads(text)
        content["candidate"] = Candidate.from_dict(content["candidate"])
        content["recipe"] = Recipe(**content["recipe"])
        return TrainingJob(**content)
