"""RoBERTa (Liu et al. 2019) and its kin of the same code, XLM-RoBERTa and CamemBERT.

Their table of positions begins with rows of the padding's: a text's first token has the position after
``pad_token_id``. Positions are counted over real tokens there and over all tokens here, which is the same where padding
is on the right. Their classifier's first Linear, with tanh, is our pooler.
"""

from typing import Any

from torch import Tensor
from transformers.models.camembert import modeling_camembert
from transformers.models.roberta import modeling_roberta
from transformers.models.xlm_roberta import modeling_xlm_roberta

from ..model import heads
from ..model.modeling_flexibert import FlexiBERTModel
from .family import Family, options_of

RENAMED = {
    "bert.": "roberta.",
    "intermediate.sequential.0.": "intermediate.dense.",
    "cls.predictions.transform.dense.": "lm_head.dense.",
    "cls.predictions.transform.LayerNorm.": "lm_head.layer_norm.",
    "cls.predictions.": "lm_head.",
}
CLASSIFIER = {"classifier.": "classifier.out_proj.", "bert.pooler.dense.": "classifier.dense."}


def _num_unused_positions(config: Any) -> int:
    return int(config.pad_token_id) + 1


def _options(config: Any) -> dict[str, Any]:
    return options_of(config, max_position_embeddings=config.max_position_embeddings - _num_unused_positions(config))


def _adapted(config: Any, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    unused = _num_unused_positions(config)
    return {
        name: value[unused:] if name.endswith("position_embeddings.weight") else value
        for name, value in parameters.items()
    }


def _foreign_head(model: Any) -> str | None:
    if type(model).__name__.endswith("ForMaskedLM") and model.config.hidden_act != "gelu":
        return f"its activation is 'gelu', that of the layers {model.config.hidden_act!r}; ours have one for both"
    return None


def _family(name: str, prefix: str, model_type: str, module: Any) -> Family:
    return Family(
        name=name,
        model_type=model_type,
        classes={
            getattr(module, f"{prefix}Model"): FlexiBERTModel,
            getattr(module, f"{prefix}ForMaskedLM"): heads.FlexiBERTForMaskedLM,
            getattr(module, f"{prefix}ForSequenceClassification"): heads.FlexiBERTForSequenceClassification,
            getattr(module, f"{prefix}ForTokenClassification"): heads.FlexiBERTForTokenClassification,
            getattr(module, f"{prefix}ForQuestionAnswering"): heads.FlexiBERTForQuestionAnswering,
            getattr(module, f"{prefix}ForMultipleChoice"): heads.FlexiBERTForMultipleChoice,
        },
        renamed=RENAMED,
        renamed_in_head={getattr(module, f"{prefix}ForSequenceClassification"): CLASSIFIER},
        foreign_head=_foreign_head,
        options=_options,
        adapted=_adapted,
    )


ROBERTA = _family("RoBERTa", "Roberta", "roberta", modeling_roberta)
XLM_ROBERTA = _family("XLM-RoBERTa", "XLMRoberta", "xlm-roberta", modeling_xlm_roberta)
CAMEMBERT = _family("CamemBERT", "Camembert", "camembert", modeling_camembert)
