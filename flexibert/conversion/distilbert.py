"""DistilBERT (Sanh et al. 2019): BERT's layers under other names, without segments and without a pooler.

Its classifiers have a ReLU where ours have tanh: of such models the encoder comes in alone.
"""

from typing import Any

from torch import Tensor
from transformers.models.distilbert import modeling_distilbert

from ..model import heads
from ..model.modeling_flexibert import FlexiBERTModel
from .family import Family, options_of

RELU = (
    modeling_distilbert.DistilBertForSequenceClassification,
    modeling_distilbert.DistilBertForMultipleChoice,
)


def _foreign_head(model: Any) -> str | None:
    return "it has a ReLU where ours have tanh" if isinstance(model, RELU) else None


def _options(config: Any) -> dict[str, Any]:
    return options_of(
        config,
        intermediate_size=config.hidden_dim,
        hidden_act=config.activation,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.attention_dropout,
        classifier_dropout=None,
        layer_norm_eps=1e-12,
        type_vocab_size=1,
    )


def _adapted(config: Any, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """With a table of one segment, which adds nothing."""
    words = next(name for name in parameters if name.endswith("embeddings.word_embeddings.weight"))
    segments = words.replace("word_embeddings", "token_type_embeddings")
    return parameters | {segments: parameters[words].new_zeros(1, config.dim)}


DISTILBERT = Family(
    name="DistilBERT",
    model_type="distilbert",
    classes={
        modeling_distilbert.DistilBertModel: FlexiBERTModel,
        modeling_distilbert.DistilBertForMaskedLM: heads.FlexiBERTForMaskedLM,
        modeling_distilbert.DistilBertForTokenClassification: heads.FlexiBERTForTokenClassification,
        modeling_distilbert.DistilBertForQuestionAnswering: heads.FlexiBERTForQuestionAnswering,
        **dict.fromkeys(RELU, FlexiBERTModel),
    },
    renamed={
        "bert.": "distilbert.",
        "encoder.layer.": "transformer.layer.",
        ".attention.self.query.": ".attention.q_lin.",
        ".attention.self.key.": ".attention.k_lin.",
        ".attention.self.value.": ".attention.v_lin.",
        ".attention.output.dense.": ".attention.out_lin.",
        ".attention.output.LayerNorm.": ".sa_layer_norm.",
        ".intermediate.sequential.0.": ".ffn.lin1.",
        ".output.dense.": ".ffn.lin2.",
        ".output.LayerNorm.": ".output_layer_norm.",
        "cls.predictions.transform.dense.": "vocab_transform.",
        "cls.predictions.transform.LayerNorm.": "vocab_layer_norm.",
        "cls.predictions.decoder.": "vocab_projector.",
        "cls.predictions.bias": "vocab_projector.bias",
    },
    foreign_head=_foreign_head,
    options=_options,
    adapted=_adapted,
)
