"""Architectures as networks: configuration, encoder, task heads, and the transfer of weights between them."""

from . import auto_classes as auto_classes
from .bert import from_bert, to_bert
from .configuration import FlexiBERTConfig
from .cost import Cost, cost_of, count_flops, flops_per_token
from .deit import from_deit, to_deit
from .depth_stitching import stitch_depth
from .heads import (
    FlexiBERTForMaskedLM,
    FlexiBERTForMultipleChoice,
    FlexiBERTForQuestionAnswering,
    FlexiBERTForSequenceClassification,
    FlexiBERTForTokenClassification,
)
from .latency import Latency, measure_latency
from .merging import merge_layers
from .model_card import add_to_lineage, write_model_card
from .modeling import FlexiBERTModel, FlexiBERTPreTrainedModel
from .overlap import transfer_overlap
from .parameters import count_parameters
from .pretraining_heads import FlexiBERTForNextSentencePrediction, FlexiBERTForPreTraining
from .pruning import MovementPruner, PruningConfig, prune
from .retraining import RetrainedBlock, Training, combine_blocks, retrain_block
from .stitching import random_like, stitch
from .transfer_plan import TransferPlan, transfer_plan
from .vision import FlexiViTForImageClassification, FlexiViTForImageClassificationWithTeacher, FlexiViTModel
from .vision_configuration import FlexiViTConfig

__all__ = [
    "Cost",
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
    "FlexiViTConfig",
    "FlexiViTForImageClassification",
    "FlexiViTForImageClassificationWithTeacher",
    "FlexiViTModel",
    "Latency",
    "MovementPruner",
    "PruningConfig",
    "RetrainedBlock",
    "Training",
    "TransferPlan",
    "add_to_lineage",
    "combine_blocks",
    "cost_of",
    "count_flops",
    "count_parameters",
    "flops_per_token",
    "from_bert",
    "from_deit",
    "measure_latency",
    "merge_layers",
    "prune",
    "random_like",
    "retrain_block",
    "stitch",
    "stitch_depth",
    "to_bert",
    "to_deit",
    "transfer_overlap",
    "transfer_plan",
    "write_model_card",
]
