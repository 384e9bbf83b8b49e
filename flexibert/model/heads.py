"""The encoder with a head for one task: masked LM, classes of sequences or tokens, answers, multiple choice.

Parameter names are those of the original's checkpoints (``bert.``, ``cls.predictions.``, ``classifier.``,
``qa_outputs.``). Every ``forward`` takes what the encoder takes, and labels; it returns Hugging Face's output class,
with a ``loss`` where labels are given.
Shapes: B batch, S sequence, H hidden size of the last layer, V vocabulary, L labels, C choices.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.utils import logging
from transformers.utils.generic import can_return_tuple

from .configuration_flexibert import CONSISTENT, FlexiBERTConfig
from .encoder import GroupedLayerNorm
from .modeling_flexibert import FlexiBERTModel, FlexiBERTPreTrainedModel

logger = logging.get_logger(__name__)

DECODER = "cls.predictions.decoder.weight"
_NO_LABEL = -100  # what cross_entropy leaves out


class PredictionTransform(nn.Module):
    """Linear, activation, LayerNorm: (B, S, H) -> (B, S, H)."""

    def __init__(self, config: FlexiBERTConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        groups = config.model_spec.groups
        self.LayerNorm: nn.LayerNorm = (
            GroupedLayerNorm([group.layers[-1].hidden_size for group in groups], eps=config.layer_norm_eps)
            if groups
            else nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        )

    def forward(self, x_BSH: Tensor) -> Tensor:
        return self.LayerNorm(self.activation(self.dense(x_BSH)))


class Predictions(nn.Module):
    """Scores of every token id: (B, S, H) -> (B, S, V). The bias has two names, as in the original."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {"decoder.bias": "bias"}

    def __init__(self, config: FlexiBERTConfig) -> None:
        super().__init__()
        self.transform = PredictionTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, x_BSH: Tensor) -> Tensor:
        return self.decoder(self.transform(x_BSH))


class MaskedLMHead(nn.Module):
    """``cls`` of the checkpoints."""

    def __init__(self, config: FlexiBERTConfig) -> None:
        super().__init__()
        self.predictions = Predictions(config)


class WordPredictor:
    """Of a model with ``cls.predictions``: its scores of words and their loss, and its decoder, tied to the word
    embeddings where their widths agree."""

    config: FlexiBERTConfig
    cls: Any

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        tied = super().get_expanded_tied_weights_keys(all_submodels=all_submodels)  # type: ignore[misc]
        if self.config.model_spec.groups:  # one table per group, and none for the decoder
            tied.pop(DECODER, None)
        if DECODER in tied and self.config.hidden_size != self.config.embedding_size:
            logger.warning_once(
                f"'tie_word_embeddings' has no effect: the last layer is {self.config.hidden_size} wide, "
                f"the embeddings {self.config.embedding_size}. The decoder gets a matrix of its own"
            )
            del tied[DECODER]
        return tied

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[misc]
        if isinstance(module, Predictions):
            init.zeros_(module.bias)

    def get_output_embeddings(self) -> nn.Module:
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias

    def _scored_words(self, x_BSH: Tensor, labels: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Loss, where labels are given, and logits: (B, S, V), or (labelled tokens, V) where only these are scored."""
        if labels is not None and self.config.sparse_prediction:
            is_counted = labels != _NO_LABEL
            x_BSH, labels = x_BSH[is_counted], labels[is_counted]
        logits = self.cls.predictions(x_BSH)
        if labels is None:
            return None, logits
        return functional.cross_entropy(logits.flatten(0, -2).float(), labels.flatten()), logits


class FlexiBERTForMaskedLM(WordPredictor, FlexiBERTPreTrainedModel):
    """Masked language modelling.

    The decoder shares the word embeddings' matrix when ``tie_word_embeddings`` says so and their widths agree.
    """

    _tied_weights_keys: ClassVar[dict[str, str]] = {DECODER: "bert.embeddings.word_embeddings.weight"}

    def __init__(self, config: FlexiBERTConfig, transfer_mode: str = CONSISTENT) -> None:
        super().__init__(config, transfer_mode)
        self.bert = FlexiBERTModel(self.config, add_pooling_layer=False, shares_config=True)
        self.cls = MaskedLMHead(config)
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
    ) -> MaskedLMOutput:
        """``labels``: (B, S) token ids, -100 where no prediction counts. ``logits``: (B, S, V); with labels and
        ``sparse_prediction``, those of the tokens that count: (number of them, V)."""
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
        loss, logits = self._scored_words(encoded.last_hidden_state, labels)
        return MaskedLMOutput(loss=loss, logits=logits, **encoder_extras(encoded))


class FlexiBERTForSequenceClassification(FlexiBERTPreTrainedModel):
    """A class, or with one label a number, per sequence, from the pooled state."""

    def __init__(self, config: FlexiBERTConfig, transfer_mode: str = CONSISTENT) -> None:
        super().__init__(config, transfer_mode)
        self.num_labels = config.num_labels
        self.bert = FlexiBERTModel(self.config, shares_config=True)
        self.dropout = _classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
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
    ) -> SequenceClassifierOutput:
        """``labels``: (B,) class ids; (B,) numbers where L is 1; (B, L) of 0 and 1 for several. ``logits``: (B, L)."""
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
        logits = self.classifier(self.dropout(encoded.pooler_output))
        loss = None if labels is None else self._loss(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits, **encoder_extras(encoded))

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        kind = self.config.problem_type
        if kind is None:
            is_class = labels.dtype in (torch.long, torch.int)
            kind = "single_label_classification" if is_class else "multi_label_classification"
            kind = "regression" if self.num_labels == 1 else kind
            self.config.problem_type = kind  # as Hugging Face's models do
        if kind == "regression":
            return functional.mse_loss(logits.float().squeeze(-1), labels.float().view_as(logits.squeeze(-1)))
        if kind == "single_label_classification":
            if labels.is_floating_point():
                raise ValueError(f"'labels' must be whole numbers, ids of classes. Got {labels.dtype}")
            return functional.cross_entropy(logits.float(), labels.view(-1).long())
        return functional.binary_cross_entropy_with_logits(logits.float(), labels.float())


class FlexiBERTForTokenClassification(FlexiBERTPreTrainedModel):
    """A class per token."""

    def __init__(self, config: FlexiBERTConfig, transfer_mode: str = CONSISTENT) -> None:
        super().__init__(config, transfer_mode)
        self.num_labels = config.num_labels
        self.bert = FlexiBERTModel(self.config, add_pooling_layer=False, shares_config=True)
        self.dropout = _classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
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
    ) -> TokenClassifierOutput:
        """``labels``: (B, S) class ids, -100 where none counts. ``logits``: (B, S, L)."""
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
        logits = self.classifier(self.dropout(encoded.last_hidden_state))
        loss = None if labels is None else functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())
        return TokenClassifierOutput(loss=loss, logits=logits, **encoder_extras(encoded))


class FlexiBERTForQuestionAnswering(FlexiBERTPreTrainedModel):
    """First and last token of the answer in the sequence."""

    def __init__(self, config: FlexiBERTConfig, transfer_mode: str = CONSISTENT) -> None:
        super().__init__(config, transfer_mode)
        self.bert = FlexiBERTModel(self.config, add_pooling_layer=False, shares_config=True)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> QuestionAnsweringModelOutput:
        """Positions: (B,); those outside the sequence do not count. ``start_logits``, ``end_logits``: (B, S)."""
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
        start_logits, end_logits = self.qa_outputs(encoded.last_hidden_state).unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            start_loss = _position_loss(start_logits, start_positions)
            loss = (start_loss + _position_loss(end_logits, end_positions)) / 2
        return QuestionAnsweringModelOutput(
            loss=loss, start_logits=start_logits, end_logits=end_logits, **encoder_extras(encoded)
        )


class FlexiBERTForMultipleChoice(FlexiBERTPreTrainedModel):
    """One of C sequences, from the pooled state of each."""

    def __init__(self, config: FlexiBERTConfig, transfer_mode: str = CONSISTENT) -> None:
        super().__init__(config, transfer_mode)
        self.bert = FlexiBERTModel(self.config, shares_config=True)
        self.dropout = _classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, 1)
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
    ) -> MultipleChoiceModelOutput:
        """Inputs have a choice axis: (B, C, S), and (B, C, S, E). ``labels``: (B,) choices. ``logits``: (B, C)."""
        given = input_ids if inputs_embeds is None else inputs_embeds
        if given is None or given.dim() < 3:
            raise ValueError("Inputs of a multiple-choice model must be of shape (batch, choices, sequence, ...)")
        numbers = (input_ids, attention_mask, token_type_ids, position_ids)
        flat = [x if x is None else x.flatten(0, -2) for x in numbers]
        flat.append(inputs_embeds if inputs_embeds is None else inputs_embeds.flatten(0, 1))
        encoded = self.bert(*flat, output_hidden_states, output_attentions, return_dict=True)
        logits = self.classifier(self.dropout(encoded.pooler_output)).view(-1, given.shape[1])
        loss = None if labels is None else functional.cross_entropy(logits.float(), labels)
        return MultipleChoiceModelOutput(loss=loss, logits=logits, **encoder_extras(encoded))


def _classifier_dropout(config: FlexiBERTConfig) -> nn.Dropout:
    rate = config.classifier_dropout
    return nn.Dropout(config.hidden_dropout_prob if rate is None else rate)


def _position_loss(logits_BS: Tensor, positions: Tensor) -> Tensor:
    """Positions outside the sequence (cut off by truncation) do not count."""
    length = logits_BS.shape[1]
    return functional.cross_entropy(logits_BS.float(), positions.view(-1).clamp(0, length), ignore_index=length)


def encoder_extras(encoded: BaseModelOutputWithPooling) -> dict[str, Any]:
    return {"hidden_states": encoded.hidden_states, "attentions": encoded.attentions}
