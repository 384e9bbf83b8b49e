"""Architectures as networks: configuration, encoder, task heads, and the transfer of weights between them."""

from design_space.version import __version__

from . import builtin_morphisms as builtin_morphisms
from .checkpoints import auto_classes as auto_classes
from .checkpoints.model_card import add_to_lineage, write_model_card
from .conversion.bert import from_bert, to_bert
from .conversion.deit import from_deit, to_deit
from .conversion.families import from_transformers
from .conversion.pretrained import PretrainedEncoder, load_encoder, save_encoder
from .conversion.vocabulary import with_vocabulary
from .cost.file_size import file_sizes_mb
from .cost.flops import Cost, cost_of, count_flops, flops_per_token
from .cost.latency_model import LatencyModel, fit_latency_model
from .cost.parameters import count_parameters
from .model.configuration_flexibert import FlexiBERTConfig
from .model.heads import (
    FlexiBERTForMaskedLM,
    FlexiBERTForMultipleChoice,
    FlexiBERTForNextSentencePrediction,
    FlexiBERTForPreTraining,
    FlexiBERTForQuestionAnswering,
    FlexiBERTForSequenceClassification,
    FlexiBERTForTokenClassification,
)
from .model.modeling_flexibert import FlexiBERTModel, FlexiBERTPreTrainedModel
from .morphisms.assembly import assembled, parts_of
from .morphisms.block_retraining import RetrainedBlock, Training, combine_blocks, retrain_block
from .morphisms.depth_stitching import stitch_depth
from .morphisms.layer_merging import merge_layers
from .morphisms.registry import MORPHISMS, Child, Materials, Morphism, register_morphism
from .morphisms.stitching import random_like, stitch
from .pruning import MovementPruner, PruningConfig, prune
from .runtimes.latency import Latency, measure_in_turn, measure_latency
from .transfer.layer_alignment import transfer_overlap
from .transfer.plan import TransferPlan, transfer_plan
from .vision.configuration_flexivit import FlexiViTConfig
from .vision.modeling_flexivit import (
    FlexiViTForImageClassification,
    FlexiViTForImageClassificationWithTeacher,
    FlexiViTModel,
)

__all__ = [
    "MORPHISMS",
    "Child",
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
    "LatencyModel",
    "Materials",
    "Morphism",
    "MovementPruner",
    "PretrainedEncoder",
    "PruningConfig",
    "RetrainedBlock",
    "Training",
    "TransferPlan",
    "__version__",
    "add_to_lineage",
    "assembled",
    "combine_blocks",
    "cost_of",
    "count_flops",
    "count_parameters",
    "file_sizes_mb",
    "fit_latency_model",
    "flops_per_token",
    "from_bert",
    "from_deit",
    "from_transformers",
    "load_encoder",
    "measure_in_turn",
    "measure_latency",
    "merge_layers",
    "parts_of",
    "prune",
    "random_like",
    "register_morphism",
    "retrain_block",
    "save_encoder",
    "stitch",
    "stitch_depth",
    "to_bert",
    "to_deit",
    "transfer_overlap",
    "transfer_plan",
    "with_vocabulary",
    "write_model_card",
]
