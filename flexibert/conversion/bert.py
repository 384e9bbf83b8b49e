"""BERT in and out: the same function in Hugging Face's classes and in ours, weights copied without rounding.

A BERT is the FlexiBERT whose layers are all ``sa``/``sdp`` of one shape, with absolute positions (Devlin et al. 2019).
Its parameters have the same names in both, but for the feed-forward stack.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertPreTrainedModel
from transformers.models.bert import modeling_bert

from design_space import ModelSpec

from ..model import heads
from ..model.configuration_flexibert import FlexiBERTConfig
from ..model.modeling_flexibert import FlexiBERTModel, FlexiBERTPreTrainedModel

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
BERT_STACK, OUR_STACK = "intermediate.dense.", "intermediate.sequential.0."


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
    ours = CLASSES.get(type(model))
    if ours is None:
        known = ", ".join(theirs.__name__ for theirs in CLASSES)
        raise ValueError(f"'model' must be one of {known} of transformers. Got {type(model).__name__}")
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
        model_dict=spec.to_dict(), position_embedding_type="absolute", lineage=[converted_from(model)], **options
    )
    return _with_weights(_built(ours, our_config, model), model, BERT_STACK, OUR_STACK)


def to_bert(model: FlexiBERTPreTrainedModel) -> BertPreTrainedModel:
    """The inverse of ``from_bert``: the same function as a BERT of transformers.

    Args:
        model: any FlexiBERT model whose architecture a BERT has; it is not changed.

    Raises:
        ValueError: listing everything in its architecture that a BERT cannot have.
    """
    theirs = next((theirs for theirs, ours in CLASSES.items() if type(model) is ours), None)
    if theirs is None:
        raise ValueError(f"'model' must be a FlexiBERT model. Got {type(model).__name__}")
    if model.config.model_spec.groups:
        raise ValueError(
            "This architecture has no BERT of the same function: it is grouped, each group with its own states"
        )
    problems = _differences_from_bert(model.config)
    if problems:
        raise ValueError("This architecture has no BERT of the same function:\n  - " + "\n  - ".join(problems))
    layer = model.config.model_spec.layers[0]
    options = {name: getattr(model.config, name) for name in SHARED_OPTIONS}
    if theirs is modeling_bert.BertForQuestionAnswering:  # it takes the number of its outputs from the labels
        options |= {"id2label": None, "label2id": None}
    bert_config = BertConfig(
        hidden_size=layer.hidden_size,
        num_hidden_layers=len(model.config.model_spec.layers),
        num_attention_heads=len(layer.heads),
        intermediate_size=layer.feed_forward[0],
        **options,
    )
    return _with_weights(_built(theirs, bert_config, model), model, OUR_STACK, BERT_STACK)


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
    outputs = []
    for model in (a, b):
        was_training = model.training
        with torch.no_grad():
            placed = {name: tensor.to(model.device) for name, tensor in inputs.items()}
            found = model.eval()(**placed, output_hidden_states=True)
        model.train(was_training)
        outputs.append(found)
    is_real = mask.bool()
    differences = [
        (x - y).cpu().flatten(0, -2)[is_real.flatten()].abs().max()
        for x, y in zip(outputs[0].hidden_states, outputs[1].hidden_states, strict=True)
    ]
    for name in outputs[0]:
        x, y = outputs[0][name], outputs[1][name]
        if name == "hidden_states" or x is None:
            continue
        difference = (x - y).abs().cpu()
        differences.append(difference[is_real].max() if difference.shape[:2] == mask.shape else difference.max())
    return float(torch.stack(differences).max())


def converted_from(model: Any) -> str:
    """The step of a lineage that names a model of transformers."""
    name = Path(model.config.name_or_path or "").name
    return f"Converted from {type(model).__name__}{f' `{name}`' if name else ''}."


def _differences_from_bert(config: FlexiBERTConfig) -> list[str]:
    problems = []
    if config.position_embedding_type != "absolute":
        problems.append(f"'position_embedding_type' must be absolute. Got {config.position_embedding_type!r}")
    layers = config.model_spec.layers
    for number, layer in enumerate(layers):
        if not layer.has_dot_product_attention:
            problems.append(f"layer {number} must have self-attention heads (sa, sdp) only")
        if len(layer.heads) * layer.head_size != layer.hidden_size:
            problems.append(f"layer {number} must have heads that add up to its width {layer.hidden_size}")
        if len(layer.feed_forward) != 1:
            problems.append(f"layer {number} must have one feed-forward width. Got {list(layer.feed_forward)}")
        if layer != layers[0]:
            problems.append(f"layer {number} must be like layer 0")
    return problems


def _built(model_class: Any, config: Any, like: Any) -> Any:
    base = like.base_model
    has_choice = model_class in (FlexiBERTModel, modeling_bert.BertModel)
    config._attn_implementation = like.config._attn_implementation
    model = model_class(config, add_pooling_layer=base.pooler is not None) if has_choice else model_class(config)
    return model.to(device=like.device, dtype=like.dtype).train(like.training)


def _with_weights(model: Any, source: Any, their_stack: str, our_stack: str) -> Any:
    """``model`` with the parameters of ``source``, by name."""
    with torch.no_grad():
        parameters = dict(source.named_parameters(remove_duplicate=False))
        for name, parameter in model.named_parameters(remove_duplicate=False):
            found = parameters[name if name in parameters else name.replace(our_stack, their_stack)]
            assert found.shape == parameter.shape, name  # ``copy_`` would repeat it
            parameter.copy_(found)
    return model
