"""The encoder with a head for one task: words, classes of sequences or tokens, answers, multiple choice, next sentence.

Parameter names are those of the original's and BERT's checkpoints (``bert.``, ``cls.predictions.``,
``cls.seq_relationship.``, ``classifier.``, ``qa_outputs.``). Every ``forward`` names what the encoder takes, and
labels: ``Trainer`` drops columns of a data set that it does not name, and exporters pass inputs by their place. It
returns Hugging Face's output class, with a ``loss`` where labels are given.
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
    ModelOutput,
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.models.bert.modeling_bert import BertForPreTrainingOutput
from transformers.utils import logging
from transformers.utils.generic import can_return_tuple

from ..mixing.base import OwnWeights
from .configuration_flexibert import CONSISTENT, FlexiBERTConfig
from .encoder import GroupedLayerNorm
from .modeling_flexibert import FlexiBERTModel, FlexiBERTPreTrainedModel

logger = logging.get_logger(__name__)

DECODER = "cls.predictions.decoder.weight"
_NO_LABEL = -100  # what cross_entropy leaves out


class TaskModel(FlexiBERTPreTrainedModel):
    """The encoder with a head, which subclasses build in ``_build_head`` and compute in ``_scored``."""

    is_pooled: ClassVar[bool]  # whether the head reads the pooled state
    output_class: ClassVar[type[ModelOutput]]

    def __init__(self, config: FlexiBERTConfig, transfer_mode: str = CONSISTENT) -> None:
        super().__init__(config, transfer_mode)
        self.bert = FlexiBERTModel(self.config, add_pooling_layer=self.is_pooled, shares_config=True)
        self._build_head(self.config)
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
    ) -> ModelOutput:
        """Inputs as the encoder's; ``labels`` and ``logits`` as the class says."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self._encode_inputs(*inputs, output_hidden_states, output_attentions)
        loss, logits = self._scored(encoded, labels)
        return self._output(encoded, loss=loss, logits=logits)

    def _build_head(self, config: FlexiBERTConfig) -> None:
        raise NotImplementedError

    def _scored(self, encoded: BaseModelOutputWithPooling, labels: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Loss, where labels are given, and logits."""
        raise NotImplementedError

    def _encode_inputs(self, *inputs: Any, **options: Any) -> BaseModelOutputWithPooling:
        """What the encoder makes of its inputs, in its order."""
        return self.bert(*inputs, **options, return_dict=True)

    def _output(self, encoded: BaseModelOutputWithPooling, **scores: Tensor | None) -> ModelOutput:
        return self.output_class(**scores, hidden_states=encoded.hidden_states, attentions=encoded.attentions)

    def _build_classifier(self, config: FlexiBERTConfig, num_outputs: int) -> None:
        rate = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if rate is None else rate)
        self.classifier = nn.Linear(config.hidden_size, num_outputs)


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


class Predictions(OwnWeights):
    """Scores of every token id: (B, S, H) -> (B, S, V). The bias has two names, as in the original."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {"decoder.bias": "bias"}

    def __init__(self, config: FlexiBERTConfig) -> None:
        super().__init__()
        self.transform = PredictionTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def init_weights(self) -> None:
        init.zeros_(self.bias)

    def forward(self, x_BSH: Tensor) -> Tensor:
        return self.decoder(self.transform(x_BSH))


class WordPredictor(TaskModel):
    """A model with ``cls.predictions``: its scores of words and their loss, and its decoder, tied to the word
    embeddings when ``tie_word_embeddings`` says so and their widths agree."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {DECODER: "bert.embeddings.word_embeddings.weight"}

    cls: Any  # a ModuleDict

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        tied = super().get_expanded_tied_weights_keys(all_submodels=all_submodels)
        if self.config.model_spec.groups:  # one table per group, and none for the decoder
            tied.pop(DECODER, None)
        if DECODER in tied and self.config.hidden_size != self.config.input_size:
            logger.warning_once(
                f"'tie_word_embeddings' has no effect: the last layer is {self.config.hidden_size} wide, "
                f"the word vectors {self.config.input_size}. The decoder gets a matrix of its own"
            )
            del tied[DECODER]
        return tied

    def get_output_embeddings(self) -> nn.Module:
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias

    def _scored(self, encoded: BaseModelOutputWithPooling, labels: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Loss, where labels are given, and logits: (B, S, V), or (labelled tokens, V) where only these are scored."""
        x_BSH = encoded.last_hidden_state
        if labels is not None and self.config.sparse_prediction:
            is_counted = labels != _NO_LABEL
            x_BSH, labels = x_BSH[is_counted], labels[is_counted]
        logits = self.cls.predictions(x_BSH)
        if labels is None:
            return None, logits
        return functional.cross_entropy(logits.flatten(0, -2).float(), labels.flatten()), logits


class FlexiBERTForMaskedLM(WordPredictor):
    """Masked language modelling: ``MaskedLMOutput``.

    ``labels``: (B, S) token ids, -100 where no prediction counts. ``logits``: (B, S, V); with labels and
    ``sparse_prediction``, those of the tokens that count: (number of them, V).
    """

    is_pooled = False
    output_class = MaskedLMOutput

    def _build_head(self, config: FlexiBERTConfig) -> None:
        self.cls = nn.ModuleDict({"predictions": Predictions(config)})


class FlexiBERTForSequenceClassification(TaskModel):
    """A class, or with one label a number, per sequence, from the pooled state: ``SequenceClassifierOutput``.

    ``labels``: (B,) class ids; (B,) numbers where L is 1; (B, L) of 0 and 1 for several. ``logits``: (B, L).
    """

    is_pooled = True
    output_class = SequenceClassifierOutput

    def _build_head(self, config: FlexiBERTConfig) -> None:
        self.num_labels = config.num_labels
        self._build_classifier(config, config.num_labels)

    def _scored(self, encoded: BaseModelOutputWithPooling, labels: Tensor | None) -> tuple[Tensor | None, Tensor]:
        logits = self.classifier(self.dropout(encoded.pooler_output))
        return None if labels is None else self._loss(logits, labels), logits

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


class FlexiBERTForTokenClassification(TaskModel):
    """A class per token: ``TokenClassifierOutput``.

    ``labels``: (B, S) class ids, -100 where none counts. ``logits``: (B, S, L).
    """

    is_pooled = False
    output_class = TokenClassifierOutput

    def _build_head(self, config: FlexiBERTConfig) -> None:
        self.num_labels = config.num_labels
        self._build_classifier(config, config.num_labels)

    def _scored(self, encoded: BaseModelOutputWithPooling, labels: Tensor | None) -> tuple[Tensor | None, Tensor]:
        logits = self.classifier(self.dropout(encoded.last_hidden_state))
        return _cross_entropy(logits.flatten(0, 1), labels), logits


class FlexiBERTForQuestionAnswering(TaskModel):
    """First and last token of the answer in the sequence: ``QuestionAnsweringModelOutput``."""

    is_pooled = False
    output_class = QuestionAnsweringModelOutput

    def _build_head(self, config: FlexiBERTConfig) -> None:
        self.qa_outputs = nn.Linear(config.hidden_size, 2)

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
    ) -> ModelOutput:
        """Positions: (B,); those outside the sequence do not count. ``start_logits``, ``end_logits``: (B, S)."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self._encode_inputs(*inputs, output_hidden_states, output_attentions)
        start_logits, end_logits = self.qa_outputs(encoded.last_hidden_state).unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            start_loss = _position_loss(start_logits, start_positions)
            loss = (start_loss + _position_loss(end_logits, end_positions)) / 2
        return self._output(encoded, loss=loss, start_logits=start_logits, end_logits=end_logits)


class FlexiBERTForMultipleChoice(TaskModel):
    """One of C sequences, from the pooled state of each: ``MultipleChoiceModelOutput``.

    Inputs have a choice axis: (B, C, S), and (B, C, S, E). ``labels``: (B,) choices. ``logits``: (B, C).
    """

    is_pooled = True
    output_class = MultipleChoiceModelOutput

    def _build_head(self, config: FlexiBERTConfig) -> None:
        self._build_classifier(config, 1)

    def _encode_inputs(self, *inputs: Any, **options: Any) -> BaseModelOutputWithPooling:
        """Choices as further sequences of the batch; pooled states (B, C, H)."""
        *ids, inputs_embeds, output_hidden_states, output_attentions = inputs
        given = ids[0] if inputs_embeds is None else inputs_embeds
        if given is None or given.dim() < 3:
            raise ValueError("Inputs of a multiple-choice model must be of shape (batch, choices, sequence, ...)")
        flat = [x if x is None else x.flatten(0, -2) for x in ids]
        flat.append(inputs_embeds if inputs_embeds is None else inputs_embeds.flatten(0, 1))
        encoded = super()._encode_inputs(*flat, output_hidden_states, output_attentions, **options)
        encoded.pooler_output = encoded.pooler_output.unflatten(0, (-1, given.shape[1]))
        return encoded

    def _scored(self, encoded: BaseModelOutputWithPooling, labels: Tensor | None) -> tuple[Tensor | None, Tensor]:
        logits = self.classifier(self.dropout(encoded.pooler_output)).squeeze(-1)
        return _cross_entropy(logits, labels), logits


class FlexiBERTForNextSentencePrediction(TaskModel):
    """Whether the second segment follows the first (0) or not (1): ``NextSentencePredictorOutput``.

    This and masked LM are BERT's pre-training (Devlin et al. 2019, 3.1); FlexiBERT's own is masked LM alone.
    ``labels``: (B,) of 0 and 1. ``logits``: (B, 2).
    """

    is_pooled = True
    output_class = NextSentencePredictorOutput

    def _build_head(self, config: FlexiBERTConfig) -> None:
        self.cls: Any = nn.ModuleDict({"seq_relationship": nn.Linear(config.hidden_size, 2)})

    def _scored(self, encoded: BaseModelOutputWithPooling, labels: Tensor | None) -> tuple[Tensor | None, Tensor]:
        logits = self.cls.seq_relationship(encoded.pooler_output)
        return _cross_entropy(logits, labels), logits


class FlexiBERTForPreTraining(WordPredictor):
    """Masked LM and next sentence together: ``BertForPreTrainingOutput``."""

    is_pooled = True
    output_class = BertForPreTrainingOutput

    def _build_head(self, config: FlexiBERTConfig) -> None:
        follows = nn.Linear(config.hidden_size, 2)
        self.cls = nn.ModuleDict({"seq_relationship": follows, "predictions": Predictions(config)})

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
    ) -> ModelOutput:
        """``labels`` as in masked LM, ``next_sentence_label``: (B,); the losses of those given are added.

        ``prediction_logits``: as in masked LM. ``seq_relationship_logits``: (B, 2).
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self._encode_inputs(*inputs, output_hidden_states, output_attentions)
        loss, words = self._scored(encoded, labels)
        follows = self.cls.seq_relationship(encoded.pooler_output)
        if next_sentence_label is not None:
            next_loss = functional.cross_entropy(follows.float(), next_sentence_label.view(-1))
            loss = next_loss if loss is None else loss + next_loss
        return self._output(encoded, loss=loss, prediction_logits=words, seq_relationship_logits=follows)


def has_tied_decoder(model: Any) -> bool:
    """Whether a masked-LM decoder is the table of word embeddings."""
    if not isinstance(model, WordPredictor) or model.config.model_spec.groups:
        return False
    return model.cls.predictions.decoder.weight is model.base_model.embeddings.word_embeddings.weight


def _cross_entropy(logits: Tensor, labels: Tensor | None) -> Tensor | None:
    return None if labels is None else functional.cross_entropy(logits.float(), labels.flatten())


def _position_loss(logits_BS: Tensor, positions: Tensor) -> Tensor:
    """Positions outside the sequence (cut off by truncation) do not count."""
    length = logits_BS.shape[1]
    return functional.cross_entropy(logits_BS.float(), positions.view(-1).clamp(0, length), ignore_index=length)
