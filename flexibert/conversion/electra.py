"""ELECTRA (Clark et al. 2020), generators and discriminators: BERT's layers, without a pooler.

Word vectors may be narrower than the layers, with a Linear between them: our ``word_vector_size``. Of its heads those
that classify tokens and find answers are ours; generators predict words where their vectors are as wide as the layers.
"""

from typing import Any

from transformers.models.electra import modeling_electra

from ..model import heads
from ..model.modeling_flexibert import FlexiBERTModel
from .family import Family, options_of

GELU = (
    modeling_electra.ElectraForSequenceClassification,
    modeling_electra.ElectraForMultipleChoice,
    modeling_electra.ElectraForPreTraining,
)


def _foreign_head(model: Any) -> str | None:
    config = model.config
    if isinstance(model, GELU):
        return "ours have none of its function"
    if not isinstance(model, modeling_electra.ElectraForMaskedLM):
        return None
    if config.embedding_size != config.hidden_size:
        return f"it is {config.embedding_size} wide, where ours is as wide as the layers, {config.hidden_size}"
    if config.hidden_act != "gelu":
        return f"its activation is 'gelu', that of the layers {config.hidden_act!r}; ours have one for both"
    return None


def _options(config: Any) -> dict[str, Any]:
    is_projected = config.embedding_size != config.hidden_size
    return options_of(config, word_vector_size=config.embedding_size if is_projected else None)


ELECTRA = Family(
    name="ELECTRA",
    model_type="electra",
    classes={
        modeling_electra.ElectraModel: FlexiBERTModel,
        modeling_electra.ElectraForMaskedLM: heads.FlexiBERTForMaskedLM,
        modeling_electra.ElectraForTokenClassification: heads.FlexiBERTForTokenClassification,
        modeling_electra.ElectraForQuestionAnswering: heads.FlexiBERTForQuestionAnswering,
        **dict.fromkeys(GELU, FlexiBERTModel),
    },
    renamed={
        "bert.": "electra.",
        "embeddings.projection.": "embeddings_project.",
        "intermediate.sequential.0.": "intermediate.dense.",
        "cls.predictions.transform.": "generator_predictions.",
        "cls.predictions.decoder.": "generator_lm_head.",
        "cls.predictions.bias": "generator_lm_head.bias",
    },
    foreign_head=_foreign_head,
    options=_options,
)
