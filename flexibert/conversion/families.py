"""Encoders of transformers whose functions FlexiBERTs have, by family."""

from typing import Any

from transformers import PreTrainedModel
from transformers.utils import logging

from ..model.modeling_flexibert import FlexiBERTPreTrainedModel
from .bert import BERT
from .distilbert import DISTILBERT
from .electra import ELECTRA
from .family import Family, converted
from .roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA

logger = logging.get_logger(__name__)

FAMILIES: dict[str, Family] = {
    family.model_type: family for family in (BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT, DISTILBERT, ELECTRA)
}
"""The families by ``model_type``."""

# Encoders that were asked for and are none: model_type -> why.
WITHOUT_COUNTERPART = {
    "mpnet": "MPNet adds a number per head and distance to the scores of attention, whatever the words; FlexiBERT's "
    "relative positions are compared with words",
}


def family_of(model_type: object, where: str = "") -> Family:
    """The family of that ``model_type``; ``where`` begins the message.

    Raises:
        ValueError: when there is none, with those that are known.
    """
    if model_type in FAMILIES:
        return FAMILIES[str(model_type)]
    known = ", ".join(f"{family.name} ({family.model_type})" for family in FAMILIES.values())
    why = f". {WITHOUT_COUNTERPART[str(model_type)]}" if model_type in WITHOUT_COUNTERPART else ""
    raise ValueError(f"{where}'model_type' must be that of FlexiBERT or of {known}. Got {model_type!r}{why}")


def dropped_head(model: PreTrainedModel) -> str | None:
    """A sentence about the task head of ``model`` where ours has none of its function; else None."""
    why = family_of(model.config.model_type).foreign_head(model)
    return f"The head of {type(model).__name__} is dropped: {why}." if why else None


def part_with_counterpart(model: Any) -> Any:
    """The model, or its encoder where its head has no counterpart."""
    return model if dropped_head(model) is None else model.base_model


def from_transformers(model: PreTrainedModel) -> FlexiBERTPreTrainedModel:
    """The FlexiBERT that computes what ``model`` computes; with its head, where ours has one of that function, else the
    encoder alone, of which a warning tells.

    Outputs at real tokens are the same where padding is on the right.

    Args:
        model: an encoder of BERT, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT or ELECTRA, with or without a task head;
            it is not changed.

    Returns:
        A model with weights of its own, in the same type, device and mode.

    Raises:
        ValueError: when it is of another family, or a decoder, or its question answering has not two outputs.
    """
    note = dropped_head(model)
    if note is not None:
        logger.warning(note)
    return converted(part_with_counterpart(model), family_of(model.config.model_type))
