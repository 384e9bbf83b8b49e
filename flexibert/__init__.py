"""Architectures as networks: configuration, encoder, task heads, and the transfer of weights between them."""

from . import auto_classes as auto_classes
from .bert import from_bert, to_bert
from .configuration import FlexiBERTConfig
from .heads import (
    FlexiBERTForMaskedLM,
    FlexiBERTForMultipleChoice,
    FlexiBERTForQuestionAnswering,
    FlexiBERTForSequenceClassification,
    FlexiBERTForTokenClassification,
)
from .modeling import FlexiBERTModel, FlexiBERTPreTrainedModel
from .parameters import count_parameters
from .pretraining_heads import FlexiBERTForNextSentencePrediction, FlexiBERTForPreTraining
from .transfer_plan import TransferPlan, transfer_overlap, transfer_plan

__all__ = [
    "FlexiBERTConfig",
    "FlexiBERTForMaskedLM",
    "FlexiBERTForMultipleChoice",
    "FlexiBERTForNextSentencePrediction",
    "FlexiBERTForPreTraining",
    "FlexiBERTForQuestionAnswering",
    "FlexiBERTForSequenceClassification",
    "FlexiBERTForTokenClassification",
    "FlexiBERTModel",
    "FlexiBERTPreTrainedModel",
    "TransferPlan",
    "count_parameters",
    "from_bert",
    "to_bert",
    "transfer_overlap",
    "transfer_plan",
]
