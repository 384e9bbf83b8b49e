"""How a candidate is trained, and the message that tells a worker to train one.

Recipes by name lie beside this file in ``recipes/``; a recipe of one's own is a YAML file with any fields
of ``Recipe``.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from design_space.files import nearest_name, read_yaml, unknown_keys
from design_space.options import (
    NO_SWITCH,
    Count,
    Natural,
    NonNegative,
    Positive,
    Switch,
    flag,
    options,
    options_of,
    validated,
)
from design_space.plugins import load_plugins

from ..candidate import Candidate

RECIPES = ("original", "cpu", "single-gpu", "pretrained")
Fraction = Annotated[float, Field(ge=0, lt=1), NO_SWITCH]
Share = Annotated[float, Field(ge=0, le=1), NO_SWITCH]


@options
class Recipe:
    """Hyper-parameters of pre-training (masked language modelling) and fine-tuning."""

    pretrain_steps: Natural = 200
    """Steps of masked-LM pre-training of candidates from scratch."""
    pretrain_batch_size: Annotated[Count, flag(unit="texts")] = 32
    """Texts per batch of pre-training."""
    pretrain_learning_rate: NonNegative = 1e-3
    """Highest learning rate of pre-training."""
    pretrain_length: Annotated[Natural, flag(unit="tokens")] = 0
    """Tokens of a pre-training block; 0 for max_length."""
    mask_share: Fraction = 0.15
    """Share of the tokens (words with whole_words) of a block that are hidden."""
    whole_words: Switch = False
    """Hide whole words, not single tokens."""
    epochs: Count = 3
    """Epochs of fine-tuning."""
    batch_size: Annotated[Count, flag(unit="texts")] = 32
    """Texts per step of fine-tuning."""
    learning_rate: NonNegative = 5e-4
    """Highest learning rate of fine-tuning."""
    early_stopping: Natural = 0
    """Epochs without a better score after which fine-tuning ends; 0 for never."""
    weight_decay: NonNegative = 0.01
    """Weight decay of AdamW."""
    warmup_share: Fraction = 0.1
    """Share of the steps in which the learning rate rises."""
    adam_beta2: Fraction = 0.999
    """Decay of the second moment in AdamW."""
    gradient_accumulation: Count = 1
    """Batches per optimiser step."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the computation: bf16 and fp16 compute in 16 bits where that is safe; the latter only on a GPU."""
    optimizer: Literal["adamw_torch", "adamw_torch_fused"] = "adamw_torch_fused"
    """The trainer's optimiser."""
    compile_backend: Literal["none", "inductor", "eager"] = "none"
    """Backend of torch.compile, or none."""
    num_workers: Natural = 0
    """Processes that make batches; 0 for the trainer's own."""
    transfer_mode: Literal["consistent", "OD", "RP"] = "consistent"
    """How a parent's weights are fitted: consistent maps, ordered transfer or random projection."""
    distillation_weight: Share = 0.5
    """Share of the teacher in the loss of fine-tuning, where there is one; the rest is the task's own."""
    distillation_temperature: Positive = 2.0
    """Temperature at which classes are compared with the teacher's."""
    autotune_trials: Count = 1
    """Fine-tuning recipes tried per candidate; the first is this one."""
    max_length: Annotated[Count, flag(unit="tokens")] = 64
    """Most tokens of a text; the data are prepared with it, and it bounds the model's positions."""

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
    return validated(
        Recipe, content, dict.fromkeys(content, str(path)), unknown_keys(content, options_of(Recipe), str(path))
    )


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Everything a worker needs to train one candidate; plain data, so that it travels as JSON.

    Attributes:
        data_dir: folder of the prepared data. models_dir: where trained models lie, by hash. work_dir: the trial's
            checkpoints.
        timing: what of the arguments of ``measure_latency`` is to be as given; its length is else ``max_length``.
        roots: folders of the pre-trained encoders that the search starts from, by name. network: what all its models
            share, as options of their configuration; empty where the data and the recipe decide.
        storage: URI through which all of these travel when nodes share no folder; ``data_dir`` is then a name there,
            and the other folders are the worker's own.
        plugins: modules that the worker imports before it reads the candidate.
        teacher: folder of what a teacher says of the training rows (``teacher.py``), with ``storage`` a name there;
            empty without one.
    """

    trial: str
    candidate: Candidate
    data_dir: str
    models_dir: str
    work_dir: str
    recipe: Recipe
    seed: int
    num_threads: int = 1
    timing: Mapping[str, Any] = field(default_factory=dict)
    roots: Mapping[str, str] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    storage: str = ""
    plugins: tuple[str, ...] = ()
    teacher: str = ""

    def has_part(self, task: Path) -> bool:
        """Whether a folder of prepared data is that of one of the job's several tasks."""
        return task != Path(self.data_dir).absolute()

    def to_json(self) -> str:
        """The job as a JSON string."""
        content: dict[str, Any] = {
            one.name: getattr(self, one.name)
            for one in dataclasses.fields(self)
            if one.name not in ("candidate", "recipe")
        }
        return json.dumps(content | {"candidate": self.candidate.to_dict(), "recipe": dataclasses.asdict(self.recipe)})

    @staticmethod
    def from_json(text: str) -> "TrainingJob":
        """The inverse of ``to_json``. Raises ``ValueError`` for a plugin that cannot be imported here."""
        content = json.loads(text)
        content["plugins"] = tuple(content["plugins"])
        load_plugins(content["plugins"])
        content["candidate"] = Candidate.from_dict(content["candidate"])
        content["recipe"] = Recipe(**content["recipe"])
        return TrainingJob(**content)
