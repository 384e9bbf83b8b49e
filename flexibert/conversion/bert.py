"""BERT in and out: the same function in Hugging Face's classes and in ours, weights copied without rounding.

A BERT is the FlexiBERT whose layers are all ``sa``/``sdp`` of one shape, with absolute positions (Devlin et al. 2019).
Its parameters have the same names in both, but for the feed-forward stack.
"""

from typing import Any

import torch
from transformers import BertConfig, BertPreTrainedModel
from transformers.models.bert import modeling_bert

from design_space import ModelSpec

from ..model import heads
from ..model.configuration_flexibert import FlexiBERTConfig
from ..model.modeling_flexibert import FlexiBERTModel, FlexiBERTPreTrainedModel
from . import copying

# Hugging Face's class -> ours
CLASSES: dict[type, type[FlexiBERTPreTrainedModel]] = {
    modeling_bert.BertModel: FlexiBERTModel,
    modeling_bert.BertForMaskedLM: heads.FlexiBERTForMaskedLM,
    modeling_bert.BertForSequenceClassification: heads.FlexiBERTForSequenceClassification,
    modeling_bert.BertForTokenClassification: heads.FlexiBERTForTokenClassification,
    modeling_bert.BertForQuestionAnswering: heads.FlexiBERTForQuestionAnswering,
    modeling_bert.BertForMultipleChoice: heads.FlexiBERTForMultipleChoice,
    modeling_bert.BertForNextSentencePrediction: heads.FlexiBERTForNextSentencePrediction,
    modeling_bert.BertForPreTraining: heads.FlexiBERTForPreTraining,
}
# Means the same in both configurations.
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
# Parts of the names of parameters, ours -> Hugging Face's.
RENAMED = {"intermediate.sequential.0.": "intermediate.dense."}


def from_bert(model: BertPreTrainedModel) -> FlexiBERTPreTrainedModel:
    """The FlexiBERT that computes what ``model`` computes, its head included.

    Args:
        model: ``BertModel`` or any ``BertFor...`` of transformers; it is not changed.

    Returns:
        The FlexiBERT class of the same head, with weights of its own, in the same type, device and mode. All that an
        output depends on is kept bit for bit; of an untied word predictor that is not ``cls.predictions.bias``.

    Raises:
        ValueError: when it is another kind of model, or a decoder, or its question answering has not two outputs.
    """
    ours = copying.our_class(model, CLASSES)
    config = model.config
    if config.is_decoder or config.add_cross_attention:
        raise ValueError("'model' must be an encoder. Got a BERT with 'is_decoder' or 'add_cross_attention'")
    if ours is heads.FlexiBERTForQuestionAnswering and config.num_labels != 2:
        raise ValueError(
            f"'model' must score the first and the last token of an answer. Got 'num_labels' {config.num_labels}, with "
            "which BERT's question answering does not run"
        )
    spec = ModelSpec.homogeneous(
        config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.intermediate_size
    )
    options = {name: getattr(config, name) for name in SHARED_OPTIONS}
    our_config = FlexiBERTConfig(
        model_dict=spec.to_dict(),
        position_embedding_type="absolute",
        lineage=[copying.converted_from(model)],
        **options,
    )
    built: FlexiBERTPreTrainedModel = copying.built_like(model, ours, our_config)
    copying.copy_weights(built, model, RENAMED, into_ours=True)
    return built


def to_bert(model: FlexiBERTPreTrainedModel) -> BertPreTrainedModel:
    """The inverse of ``from_bert``: the same function as a BERT of transformers.

    Args:
        model: any FlexiBERT model whose architecture a BERT has; it is not changed.

    Raises:
        ValueError: listing everything in its architecture that a BERT cannot have.
    """
    theirs = copying.their_class(model, CLASSES, "FlexiBERT")
    if model.config.model_spec.groups:
        raise ValueError(
            "This architecture has no BERT of the same function: it is grouped, each group with its own states"
        )
    layers = model.config.model_spec.layers
    problems = copying.uneven_layers(layers, is_full_width=True)
    kind = model.config.position_embedding_type
    if kind != "absolute":
        problems.insert(0, f"'position_embedding_type' must be absolute. Got {kind!r}")
    if model.base_model.pooler is not None and model.config.pooling != "cls":
        problems.append(f"'pooling' must be cls: BERT's pooler reads the first token. Got {model.config.pooling!r}")
    width = model.config.word_vector_size
    if width is not None:
        problems.append(f"'word_vector_size' must be None: BERT's word vectors are as wide as its layers. Got {width}")
    if problems:
        raise ValueError("This architecture has no BERT of the same function:\n  - " + "\n  - ".join(problems))
    options = {name: getattr(model.config, name) for name in SHARED_OPTIONS}
    if theirs is modeling_bert.BertForQuestionAnswering:  # it takes the number of its outputs from the labels
        options |= {"id2label": None, "label2id": None}
    built: BertPreTrainedModel = copying.built_like(
        model, theirs, BertConfig(**copying.homogeneous_shape(layers), **options)
    )
    copying.copy_weights(model, built, RENAMED, into_ours=False)
    return built


def largest_difference(a: Any, b: Any, seed: int = 0) -> float:
    """Largest absolute difference of any output of two models of one head, in evaluation mode.

    Compared on a random batch with segments and padding: all hidden states at real positions, the pooled state, and
    what the head gives.
    """
    config = a.config
    generator = torch.Generator().manual_seed(seed)
    length = min(32, config.max_position_embeddings)
    shape = (3, 2, length) if "MultipleChoice" in type(a).__name__ else (3, length)
    ids = torch.randint(config.vocab_size, shape, generator=generator)
    segments = torch.randint(config.type_vocab_size, shape, generator=generator)
    mask = torch.ones_like(ids)
    mask[1, ..., length // 2 :] = 0
    inputs = {"input_ids": ids, "token_type_ids": segments, "attention_mask": mask}
    first, second = copying.evaluated((a, b), inputs)
    is_real = mask.bool()
    differences = [
        (x - y).flatten(0, -2)[is_real.flatten()].abs().max()
        for x, y in zip(first.pop("hidden_states"), second.pop("hidden_states"), strict=True)
    ]
    for name, x in first.items():
        difference = (x - second[name]).abs()
        differences.append(difference[is_real].max() if difference.shape[:2] == mask.shape else difference.max())
    return float(torch.stack(differences).max())
