"""Architectures as networks: configuration, encoder, task heads, and the transfer of weights between them."""

from . import auto_classes as auto_classes
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
from .transfer_plan import TransferPlan, transfer_overlap, transfer_plan

__all__ = [
    "FlexiBERTConfig",
    "FlexiBERTForMaskedLM",
    "FlexiBERTForMultipleChoice",
    "FlexiBERTForQuestionAnswering",
    "FlexiBERTForSequenceClassification",
    "FlexiBERTForTokenClassification",
    "FlexiBERTModel",
    "FlexiBERTPreTrainedModel",
    "TransferPlan",
    "count_parameters",
    "transfer_overlap",
    "transfer_plan",
]
