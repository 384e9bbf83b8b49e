"""BERT in and out: the same function in Hugging Face's classes and in ours, weights copied without rounding.

A BERT is the FlexiBERT whose layers are all ``sa``/``sdp`` of one shape, with absolute positions (Devlin et al. 2019).
Its parameters have the same names in both, but for the feed-forward stack.
"""

from transformers import BertConfig, BertPreTrainedModel
from transformers.models.bert import modeling_bert

from ..model import heads
from ..model.modeling_flexibert import FlexiBERTModel, FlexiBERTPreTrainedModel
from . import copying
from .family import SHARED_OPTIONS, Family, converted

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
BERT = Family(
    name="BERT",
    model_type="bert",
    classes=CLASSES,
    renamed={"intermediate.sequential.0.": "intermediate.dense."},
)


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
    return converted(model, BERT)


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
    copying.copy_weights(model, built, BERT.renamed, into_ours=False)
    return built
