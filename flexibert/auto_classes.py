"""Registers FlexiBERT with Hugging Face's Auto classes, on import.

``AutoModel.from_pretrained(folder)`` and its relatives work after ``import flexibert``.
"""

from typing import Any

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForNextSentencePrediction,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from . import heads, pretraining_heads
from .configuration import FlexiBERTConfig
from .modeling import FlexiBERTModel

MODELS: dict[Any, type] = {
    AutoModel: FlexiBERTModel,
    AutoModelForMaskedLM: heads.FlexiBERTForMaskedLM,
    AutoModelForSequenceClassification: heads.FlexiBERTForSequenceClassification,
    AutoModelForTokenClassification: heads.FlexiBERTForTokenClassification,
    AutoModelForQuestionAnswering: heads.FlexiBERTForQuestionAnswering,
    AutoModelForMultipleChoice: heads.FlexiBERTForMultipleChoice,
    AutoModelForNextSentencePrediction: pretraining_heads.FlexiBERTForNextSentencePrediction,
    AutoModelForPreTraining: pretraining_heads.FlexiBERTForPreTraining,
}

AutoConfig.register(FlexiBERTConfig.model_type, FlexiBERTConfig, exist_ok=True)
for auto_class, model_class in MODELS.items():
    auto_class.register(FlexiBERTConfig, model_class, exist_ok=True)
