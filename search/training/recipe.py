"""How a candidate is trained, and the message that tells a worker to train one.

Recipes by name lie beside this file in ``recipes/``; a recipe of one's own is a YAML file with any fields
of ``Recipe``.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from design_space.files import nearest_name, read_yaml, unknown_keys

from ..candidate import Candidate

RECIPES = ("original", "cpu", "single-gpu")
_CHOICES = {
    "transfer_mode": ("consistent", "RP", "OD"),
    "precision": ("fp32", "bf16", "fp16"),
    "optimizer": ("adamw_torch", "adamw_torch_fused"),
    "compile_backend": ("none", "inductor", "eager"),
}
_MAY_BE_ZERO = ("pretrain_steps", "pretrain_length", "early_stopping", "num_workers")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of pre-training (masked language modelling) and fine-tuning.

    Attributes:
        pretrain_steps: optimiser steps of pre-training of a candidate from scratch; 0 for none.
        pretrain_length: tokens of a pre-training block; 0 for ``max_length``.
        mask_share: of the tokens (words with ``whole_words``) of a block that are hidden.
        epochs: passes over the task's training split.
        early_stopping: epochs without a better score after which fine-tuning ends; 0 for never.
        warmup_share: of the steps, in which the learning rate rises.
        gradient_accumulation: batches per optimiser step; ``batch_size`` counts the texts of one batch.
        precision: ``bf16`` and ``fp16`` compute in 16 bits where that is safe; the latter only on a GPU.
        compile_backend: of ``torch.compile``, or ``none``.
        num_workers: processes that make batches; 0 for the trainer's own.
        transfer_mode: ``consistent``, ``OD`` (ordered) or ``RP`` (random projection), for candidates with a parent.
        autotune_trials: fine-tuning recipes tried per candidate (``RecipeTuner``); the first is this one.
        max_length: most tokens of a text; the data are prepared with it, and it bounds the model's positions.
    """

    pretrain_steps: int = 200
    pretrain_batch_size: int = 32
    pretrain_learning_rate: float = 1e-3
    pretrain_length: int = 0
    mask_share: float = 0.15
    whole_words: bool = False
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 5e-4
    early_stopping: int = 0
    weight_decay: float = 0.01
    warmup_share: float = 0.1
    adam_beta2: float = 0.999
    gradient_accumulation: int = 1
    precision: str = "fp32"
    optimizer: str = "adamw_torch_fused"
    compile_backend: str = "none"
    num_workers: int = 0
    transfer_mode: str = "consistent"
    autotune_trials: int = 1
    max_length: int = 64

    def __post_init__(self) -> None:
        problems = []
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if field.type is int:
                least = 0 if name in _MAY_BE_ZERO else 1
                if not isinstance(value, int) or isinstance(value, bool) or value < least:
                    problems.append(f"'{name}' must be a whole number of at least {least}. Got {value!r}")
            elif field.type is float and not (isinstance(value, (int, float)) and 0 <= value < math.inf):
                problems.append(f"'{name}' must be a finite number of at least 0. Got {value!r}")
            elif field.type is bool and not isinstance(value, bool):
                problems.append(f"'{name}' must be true or false. Got {value!r}")
            elif name in _CHOICES and value not in _CHOICES[name]:
                allowed = " or ".join(map(repr, _CHOICES[name]))
                problems.append(f"'{name}' must be {allowed}. Got {value!r}")
            if name in ("mask_share", "warmup_share", "adam_beta2") and isinstance(value, float) and value >= 1:
                problems.append(f"'{name}' must be below 1. Got {value!r}")
        if problems:
            raise ValueError("\n  - ".join(["Problems in the training recipe:", *problems]))

    @property
    def num_positions(self) -> int:
        """Most tokens that a model of this recipe sees at once."""
        return max(self.max_length, self.pretrain_length)

    def trainer_arguments(self, *, has_gpu: bool) -> dict[str, Any]:
        """What both phases tell ``TrainingArguments``.

        Raises:
            ValueError: for ``fp16`` without a GPU.
        """
        if self.precision == "fp16" and not has_gpu:
            raise ValueError("'precision' fp16 needs a GPU, and there is none here; use bf16 or fp32")
        is_compiled = self.compile_backend != "none"
        return {
            "weight_decay": self.weight_decay,
            "warmup_steps": self.warmup_share,
            "lr_scheduler_type": "linear",
            "adam_beta2": self.adam_beta2,
            "gradient_accumulation_steps": self.gradient_accumulation,
            "bf16": self.precision == "bf16",
            "fp16": self.precision == "fp16",
            "optim": self.optimizer,
            "torch_compile": is_compiled,
            "torch_compile_backend": self.compile_backend if is_compiled else None,
            "dataloader_num_workers": self.num_workers,
            "dataloader_persistent_workers": self.num_workers > 0,
            "dataloader_pin_memory": has_gpu,
            "use_cpu": not has_gpu,
        }


def load_recipe(name: str | Path) -> Recipe:
    """One of ``RECIPES``, or the recipe in a YAML file; what it does not say is as in ``Recipe``.

    Raises:
        ValueError: listing everything that is wrong with it, or for a name that is none.
    """
    if str(name) in RECIPES:
        path = Path(str(files("search") / "recipes" / f"{name}.yaml"))
    elif Path(name).suffix in (".yaml", ".yml"):
        path = Path(name)
    else:
        raise ValueError(f"Unknown recipe '{name}'. {nearest_name(str(name), RECIPES)}, or a YAML file")
    content = read_yaml(path)
    types = {field.name: field.type for field in dataclasses.fields(Recipe)}
    problems = unknown_keys(content, tuple(types), str(path))
    if problems:
        raise ValueError("\n  - ".join([f"Problems in {path}:", *problems]))
    # PyYAML reads 1e-4, without a point, as a string.
    return Recipe(**{key: _number(value) if types[key] is float else value for key, value in content.items()})


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Everything a worker needs to train one candidate; plain data, so that it travels as JSON.

    Attributes:
        data_dir: folder of the prepared data. models_dir: where trained models lie, by hash. work_dir: the trial's
            checkpoints.
        storage: URI through which all of these travel when nodes share no folder; ``data_dir`` is then a name there,
            and the other folders are the worker's own.
    """

    trial: str
    candidate: Candidate
    data_dir: str
    models_dir: str
    work_dir: str
    recipe: Recipe
    seed: int
    num_threads: int = 1
    storage: str = ""

    def has_part(self, task: Path) -> bool:
        """Whether a folder of prepared data is that of one of the job's several tasks."""
        return task != Path(self.data_dir).absolute()

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
