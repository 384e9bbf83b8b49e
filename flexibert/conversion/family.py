"""What a family of encoders in transformers says of itself, and how its models become FlexiBERTs by it.

All are Devlin et al.'s layers (2019) of one shape, with absolute positions: ``sa``/``sdp`` heads here. What differs are
the names of options and parameters, some tables, and the task heads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from ..model.configuration_flexibert import HOMOGENEOUS, FlexiBERTConfig
from ..model.heads import FlexiBERTForQuestionAnswering
from ..model.modeling_flexibert import FlexiBERTPreTrainedModel
from . import copying

# Means the same in BERT's configuration and in ours.
SHARED_OPTIONS = (
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "tie_word_embeddings",
    "id2label",
    "label2id",
    "problem_type",
    "output_hidden_states",
    "output_attentions",
    "return_dict",
)


def options_of(config: Any, **others: Any) -> dict[str, Any]:
    """The options of a configuration that has BERT's, for ours.

    Args:
        config: of a model of transformers.
        others: what takes the place of the configuration's own, by our names.
    """
    names = (*HOMOGENEOUS, *SHARED_OPTIONS)
    return {name: getattr(config, name) for name in names if name not in others} | others


def every_head_is_ours(model: Any) -> str | None:
    """Of families whose task heads are all ours."""
    return None


def the_same(config: Any, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of families whose tables are ours."""
    return parameters


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of encoders.

    Attributes:
        name: for messages.
        model_type: in its ``config.json``.
        classes: Hugging Face's class -> ours, the encoder's first. Of those whose head is none of ours: our encoder.
        foreign_head: a model -> why its head is none of ours, as a clause; None where it is one of ours, or there is
            none.
        renamed: parts of the names of parameters, ours -> Hugging Face's, replaced in this order.
        renamed_in_head: further ones by class, replaced before.
        options: a configuration -> our options.
        adapted: a configuration and the parameters by their names -> those that ours correspond to.
    """

    name: str
    model_type: str
    classes: Mapping[type, type[FlexiBERTPreTrainedModel]]
    renamed: Mapping[str, str]
    renamed_in_head: Mapping[type, Mapping[str, str]] = field(default_factory=dict)
    foreign_head: Callable[[Any], str | None] = every_head_is_ours
    options: Callable[[Any], dict[str, Any]] = options_of
    adapted: Callable[[Any, dict[str, Tensor]], dict[str, Tensor]] = the_same


def converted(model: PreTrainedModel, family: Family) -> FlexiBERTPreTrainedModel:
    """The FlexiBERT that computes what ``model`` computes, its head included.

    Args:
        model: of the family, without a head or with one of ours; it is not changed.

    Returns:
        The FlexiBERT class of the same head, with weights of its own, in the same type, device and mode.

    Raises:
        ValueError: when it is another kind of model, or a decoder, or its question answering has not two outputs.
    """
    ours = copying.our_class(model, family.classes)
    config = model.config
    if getattr(config, "is_decoder", False) or getattr(config, "add_cross_attention", False):
        raise ValueError(
            f"'model' must be an encoder. Got a {family.name} with 'is_decoder' or 'add_cross_attention'; take one "
            "without"
        )
    if ours is FlexiBERTForQuestionAnswering and config.num_labels != 2:
        raise ValueError(
            f"'model' must score the first and the last token of an answer. Got 'num_labels' {config.num_labels}, with "
            f"which {family.name}'s question answering does not run"
        )
    our_config = FlexiBERTConfig(
        position_embedding_type="absolute", lineage=[copying.converted_from(model)], **family.options(config)
    )
    built: FlexiBERTPreTrainedModel = copying.built_like(model, ours, our_config)
    renamed = {**family.renamed_in_head.get(type(model), {}), **family.renamed}
    copying.copy_weights(built, model, renamed, into_ours=True, adapted=partial(family.adapted, config))
    return built
