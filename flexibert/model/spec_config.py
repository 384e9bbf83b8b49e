"""What the configurations of our networks share: the architecture as a model dict, plugins, saving with code.

The model dict is the one source of truth for the architecture: it alone is written to ``config.json``; ``hidden_size``
and the other names that Hugging Face code reads are computed from it. Names that a class does not know are refused,
because ``PreTrainedConfig`` would keep a misspelt one silently.
"""

import importlib
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

from transformers import PreTrainedConfig

from design_space import ModelSpec

from .options import ADDITIONAL, unknown_names, with_additional, wrong_texts

# Written by Hugging Face code or by the original, without a meaning here.
IGNORED = (
    "model_type",
    "gradient_checkpointing",
    "use_cache",
    "conv_kernel_size",
    "pruned_heads",
    "torchscript",
    "finetuning_task",
)
# Understood by PreTrainedConfig beside its fields.
INHERITED = (
    "num_labels",
    "torch_dtype",
    "name_or_path",
    "output_attentions",
    "attn_implementation",
    "experts_implementation",
)
ATTACHED = ("auto_map", "quantization_config", "custom_pipelines", "tokenizer_class", "transformers_weights")


def project_module(name: str) -> Any:
    """A module of this project that the code in saved folders goes without; None in such a folder."""
    return importlib.import_module(name) if __name__.startswith("flexibert.") else None


class SpecConfig(PreTrainedConfig):
    """The configuration of a network whose architecture is a ``ModelSpec``.

    Args:
        model_dict: the architecture, standard or hetero (see ``ModelSpec``).
        plugins: modules of the user's that register operations; they are imported before the architecture is read.
            Those that the architecture needs are added.
        lineage: how the weights came about, a sentence per step, oldest first; for the model card.
        base_model, license: whose work the weights started from, as the front matter of model cards names it.
    """

    title: ClassVar[str]
    further_names: ClassVar[frozenset[str]] = frozenset()
    other_classes: ClassVar[str] = "its own class"  # which load another kind of model

    model_dict: dict[str, Any] | None = None
    plugins: list[str] | None = None
    lineage: list[str] | None = None
    base_model: str | list[str] | None = None
    license: str | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        try:
            super().__post_init__(**kwargs)
        except (TypeError, AttributeError, LookupError) as error:  # of what every model has nothing is checked there
            raise ValueError(
                f"A value in the {self.title} configuration is of another shape than it must be ({error})"
            ) from error

    @property
    def model_spec(self) -> ModelSpec:
        """The architecture."""
        return ModelSpec.from_dict(self.model_dict or {})

    @property
    def hidden_size(self) -> int:
        """Width of the last layer: what the pooler and the task heads read."""
        return int(self.model_spec.layers[-1].hidden_size)

    @property
    def embedding_size(self) -> int:
        """Width of the embeddings: the first layer's."""
        return int(self.model_spec.layers[0].hidden_size)

    @property
    def num_hidden_layers(self) -> int:
        """Number of layers."""
        return len(self.model_spec.layers)

    @property
    def num_attention_heads(self) -> int:
        """Heads of the last layer; other layers may have another number."""
        return len(self.model_spec.layers[-1].heads)

    @property
    def intermediate_size(self) -> int:
        """Last feed-forward width of the last layer; other layers may have other widths."""
        return int(self.model_spec.layers[-1].feed_forward[-1])

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> None:
        """As inherited, with the code that the model needs where this project is not installed."""
        remote_code = project_module("flexibert.checkpoints.remote_code")
        if remote_code is not None:
            remote_code.write_code(Path(save_directory), self)
        super().save_pretrained(save_directory, push_to_hub, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """As inherited, and which attributes are no options."""
        return with_additional(super().to_dict(), self.known_names())

    @classmethod
    def get_config_dict(cls, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """As inherited.

        Raises:
            ValueError: when the folder holds another kind of model.
        """
        config_dict, unused = super().get_config_dict(*args, **kwargs)
        if not cls.is_own_config(config_dict):
            raise ValueError(
                f"'model_type' of the configuration must be '{cls.model_type}'. Got {config_dict['model_type']!r}; "
                f"load it with {cls.other_classes}"
            )
        return config_dict | {"model_type": cls.model_type}, unused

    @classmethod
    def is_own_config(cls, config_dict: dict[str, Any]) -> bool:
        """Whether a saved configuration is of this class."""
        return bool(config_dict.get("model_type", cls.model_type) == cls.model_type)

    @classmethod
    def known_names(cls) -> set[str]:
        """Names of all options."""
        return {field.name for field in fields(cls)} | {*IGNORED, *INHERITED, *ATTACHED} | cls.further_names

    def _begin(self, options: dict[str, Any]) -> list[str]:
        """Import the plugins; take out of the further options what has no meaning here, and return what is wrong with
        the others' names."""
        self._raise(wrong_texts(self, "plugins", "lineage"))
        plugins = project_module("design_space.plugins")
        if plugins is not None:  # in a folder of copied code, plugins lie beside this file
            plugins.load_plugins(self.plugins or ())
        problems = unknown_names(options, self.known_names(), type(self).__name__)
        if not isinstance(options.get("auto_map") or {}, dict):
            problems.append(f"'auto_map' must be a table of names. Got {options['auto_map']!r}")
        for name in (ADDITIONAL, *IGNORED):
            options.pop(name, None)
        return problems

    def _raise(self, problems: list[str]) -> None:
        """Raises ``ValueError`` with all problems, where there are any."""
        if problems:
            raise ValueError(
                f"{len(problems)} problem(s) in the {self.title} configuration:\n  - " + "\n  - ".join(problems)
            )
