"""The encoder with BERT's two pre-training heads: next sentence, alone or beside masked LM (Devlin et al. 2019, 3.1).

FlexiBERT itself pre-trains on masked LM alone; these are the places for weights that come from BERT. Parameter names
are BERT's (``cls.predictions.``, ``cls.seq_relationship``).
Shapes: B batch, S sequence, H hidden size of the last layer, V vocabulary.
"""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import NextSentencePredictorOutput
from transformers.models.bert.modeling_bert import BertForPreTrainingOutput
from transformers.utils.generic import can_return_tuple

from .configuration_flexibert import CONSISTENT, FlexiBERTConfig
from .heads import DECODER, Predictions, WordPredictor, encoder_extras
from .modeling_flexibert import FlexiBERTModel, FlexiBERTPreTrainedModel


class NextSentenceHead(nn.Module):
    """``cls`` of BERT's next-sentence checkpoints: (B, H) -> (B, 2)."""

    def __init__(self, config: FlexiBERTConfig) -> None:
        super().__init__()
        self.seq_relationship = nn.Linear(config.hidden_size, 2)

    def forward(self, pooled_BH: Tensor) -> Tensor:
        return self.seq_relationship(pooled_BH)


class PreTrainingHeads(NextSentenceHead):
    """``cls`` of BERT's pre-training checkpoints: both heads."""

    def __init__(self, config: FlexiBERTConfig) -> None:
        super().__init__(config)
        self.predictions = Predictions(config)


class FlexiBERTForNextSentencePrediction(FlexiBERTPreTrainedModel):
    """Whether the second segment follows the first (0) or not (1)."""

    def __init__(self, config: FlexiBERTConfig, transfer_mode: str = CONSISTENT) -> None:
        super().__init__(config, transfer_mode)
        self.bert = FlexiBERTModel(self.config, shares_config=True)
        self.cls = NextSentenceHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> NextSentencePredictorOutput:
        """``labels``: (B,) of 0 and 1. ``logits``: (B, 2)."""
        encoded = self.bert(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            output_hidden_states,
            output_attentions,
            return_dict=True,
        )
        logits = self.cls(encoded.pooler_output)
        loss = None if labels is None else functional.cross_entropy(logits.float(), labels.view(-1))
        return NextSentencePredictorOutput(loss=loss, logits=logits, **encoder_extras(encoded))


class FlexiBERTForPreTraining(WordPredictor, FlexiBERTPreTrainedModel):
    """Masked LM and next sentence together."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {DECODER: "bert.embeddings.word_embeddings.weight"}

    def __init__(self, config: FlexiBERTConfig, transfer_mode: str = CONSISTENT) -> None:
        super().__init__(config, transfer_mode)
        self.bert = FlexiBERTModel(self.config, shares_config=True)
        self.cls = PreTrainingHeads(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> BertForPreTrainingOutput:
        """``labels`` as in masked LM, ``next_sentence_label``: (B,); the losses of those given are added.

        ``prediction_logits``: as in masked LM. ``seq_relationship_logits``: (B, 2).
        """
        encoded = self.bert(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            output_hidden_states,
            output_attentions,
            return_dict=True,
        )
        loss, words = self._scored_words(encoded.last_hidden_state, labels)
        follows = self.cls(encoded.pooler_output)
        if next_sentence_label is not None:
            of_next = functional.cross_entropy(follows.float(), next_sentence_label.view(-1))
            loss = of_next if loss is None else loss + of_next
        return BertForPreTrainingOutput(
            loss=loss,
            prediction_logits=words,
            seq_relationship_logits=follows,
            **encoder_extras(encoded),
        )
