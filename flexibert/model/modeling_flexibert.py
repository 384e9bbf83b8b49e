"""The encoder as a ``transformers`` model: outputs in Hugging Face's classes, weights loaded strictly.

Task heads are in ``heads.py``; what one layer computes in ``encoder.py`` and the mixing modules; weight transfer in
``transfer.py``.
Shapes: B batch, S sequence, H hidden size of the last layer, E of the first.
"""

import copy
import importlib
import re
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.generic import can_return_tuple

from ..checkpoints.validation import UNREADABLE, contradictions, damage
from ..mixing import Attends, head_operation
from ..mixing.attention import Padding
from ..mixing.axes import Sizes
from ..mixing.base import Mixing, OwnWeights
from ..mixing.layer import mixing_parameters
from .configuration_flexibert import CONSISTENT, FlexiBERTConfig, check_mode
from .encoder import Embeddings, Encoder, GroupedEmbeddings, GroupedEncoder, Pooler
from .inputs import check_inputs
from .spec_config import project_module


class FlexiBERTPreTrainedModel(PreTrainedModel):
    """Loading, saving, initialisation and weight transfer, shared by the encoder and the models with a task head."""

    config_class = FlexiBERTConfig
    base_model_prefix = "bert"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules: ClassVar[list[str]] = ["EncoderLayer"]

    def __init__(self, config: FlexiBERTConfig, transfer_mode: str = CONSISTENT, shares_config: bool = False) -> None:
        # A copy: ``config.from_model_dict`` may be called again for the next model, and must not change this one.
        super().__init__(config if shares_config else copy.deepcopy(config))
        self.transfer_mode = check_mode(transfer_mode)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As inherited.

        Raises:
            OSError: when there is no such folder, or a file in it cannot be read.
            ValueError: when the weights contradict the configuration, or the configuration itself; for a pooler or task
                head of another shape, unless ``ignore_mismatched_sizes`` is given.
        """
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except UNREADABLE as error:
            if "ignore_mismatched_sizes" in str(error):
                raise ValueError(
                    f"{pretrained_model_name_or_path}: the pooler or the task head has another shape than the "
                    "configuration says (see the report above); with ignore_mismatched_sizes=True it starts at random"
                ) from error
            place = {name: kwargs[name] for name in ("subfolder", "variant") if kwargs.get(name)}
            found = damage(error, pretrained_model_name_or_path, **place)
            if found is None:
                raise
            raise OSError(found) from error

    def save_pretrained(self, save_directory: Any, is_main_process: bool = True, *args: Any, **kwargs: Any) -> None:
        """As inherited, with a model card (see ``model_card.py``)."""
        super().save_pretrained(save_directory, is_main_process, *args, **kwargs)
        model_card = project_module("flexibert.checkpoints.model_card")
        if is_main_process and model_card is not None:
            model_card.write_model_card(save_directory, self)

    def load_model_from_source(self, source: "FlexiBERTPreTrainedModel", seed: int = 0) -> float:
        """Transfers the weights of ``source`` that have a place here, by this model's ``transfer_mode`` (see
        ``transfer.py``).

        Where both models have a task head of one class and shape, it is transferred too; it does not count in the
        overlap.

        Args:
            source: any FlexiBERT model of the same model-dict format, vocabulary and positions; it is not changed.
            seed: of random projections (``RP``) and of noise and sampled texts (``consistent``).

        Returns:
            Share of this encoder's parameters (embeddings, layers, pooler) that was transferred, in [0, 1].

        Raises:
            ValueError: when the models cannot be compared; this model is then unchanged.
        """
        # By name: a folder saved for ``trust_remote_code`` goes without the code of transfers.
        transfer: Any = importlib.import_module("flexibert.transfer.transfer")
        model_card: Any = importlib.import_module("flexibert.checkpoints.model_card")
        overlap = transfer.transfer_weights(source, self, mode=self.transfer_mode, seed=seed)
        origin = f"`{source.config.model_spec.hash}` (mode {self.transfer_mode}, overlap {overlap:.2f})"
        model_card.add_to_lineage(self, f"Weights transferred from {origin}.", [source])
        return overlap

    def _encoded(
        self, embedded: Tensor, padding: Padding, output_hidden_states: bool | None, output_attentions: bool | None
    ) -> BaseModelOutputWithPooling:
        """What layers and pooler make of embeddings; the configuration decides what else is returned, if it is None."""
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        last, states, weights = self.encoder(embedded, padding, bool(output_hidden_states), bool(output_attentions))
        pooled = None if self.pooler is None else self.pooler(last, padding)
        return BaseModelOutputWithPooling(
            last_hidden_state=last, pooler_output=pooled, hidden_states=states, attentions=weights
        )

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Start values are normal(0, initializer_range), as in Hugging Face's models; a module of the token mixing with
        parameters of its own, beside those of Linears and the like, has ``init_weights``."""
        super()._init_weights(module)
        if isinstance(module, Mixing | OwnWeights):
            module.init_weights()

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """As inherited, and the parameters that always carry two names, such as ``intermediate.dense``'s."""
        tied = dict(super().get_expanded_tied_weights_keys(all_submodels=all_submodels))
        for prefix, module in self.named_modules():
            if not isinstance(module, PreTrainedModel):
                names = getattr(module, "_tied_weights_keys", {})
                tied |= {f"{prefix}.{second}": f"{prefix}.{first}" for second, first in names.items()}
        return tied

    def _adjust_missing_and_unexpected_keys(self, loading_info: Any) -> None:
        """Refuses a checkpoint whose encoder is not the configured one, instead of leaving layers at random values.

        Raises:
            ValueError: naming what is missing, left over or of another shape.
        """
        super()._adjust_missing_and_unexpected_keys(loading_info)
        is_encoder = re.compile(rf"^({self.base_model_prefix}\.)?(embeddings|encoder)\.")
        problems = contradictions(
            filter(is_encoder.match, loading_info.missing_keys),
            filter(is_encoder.match, loading_info.unexpected_keys),
            [entry for entry in loading_info.mismatched_keys if is_encoder.match(entry[0])],
        )
        if problems is not None:
            loading_info.missing_keys, loading_info.unexpected_keys, loading_info.mismatched_keys = set(), set(), set()
            raise ValueError(f"The weights {problems}\nUse the config.json these weights were saved with")


class FlexiBERTModel(FlexiBERTPreTrainedModel):
    """The encoder: token ids to states of the last layer, and a pooled state of the first token.

    Args:
        config: sizes and architecture.
        add_pooling_layer: whether to build the pooler.
        transfer_mode: how ``load_model_from_source`` fits weights of another size: ``consistent``, ``OD`` or ``RP``.
        shares_config: keep ``config`` itself and not a copy, as the encoder inside a model with a task head does.
    """

    def __init__(
        self,
        config: FlexiBERTConfig,
        add_pooling_layer: bool = True,
        transfer_mode: str = CONSISTENT,
        shares_config: bool = False,
    ) -> None:
        super().__init__(config, transfer_mode, shares_config)
        config = self.config
        is_grouped = bool(config.model_spec.groups)
        self.embeddings = GroupedEmbeddings(config) if is_grouped else Embeddings(config)
        self.encoder = GroupedEncoder(config) if is_grouped else Encoder(config)
        self.pooler = Pooler(config) if add_pooling_layer else None
        self._keys_to_ignore_on_load_unexpected = _never_used(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The table of word vectors. Raises ``NotImplementedError`` for a grouped model, which has one per group."""
        if isinstance(self.embeddings, GroupedEmbeddings):
            raise NotImplementedError("A grouped model has a table of word vectors per group; resize its sources")
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Raises ``NotImplementedError`` for a grouped model, which has one table per group."""
        if isinstance(self.embeddings, GroupedEmbeddings):
            raise NotImplementedError("A grouped model has a table of word vectors per group; resize its sources")
        self.embeddings.word_embeddings = value

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> BaseModelOutputWithPooling:
        """States of every token.

        Args:
            input_ids: (B, S), below ``vocab_size``.
            attention_mask: (B, S), 1 at real and 0 at padded positions; default: all real. Outputs at real positions
                of ``sa`` and ``c`` layers do not depend on padding; ``l`` layers read zeros there, and their
                transform's length is the padded one.
            token_type_ids: (B, S), below ``type_vocab_size``; default: segment 0.
            position_ids: (B, S) or (1, S), below ``max_position_embeddings``; default: 0 to S - 1. Only of models with
                absolute positions.
            inputs_embeds: (B, S, E), instead of ``input_ids``.
            output_hidden_states: return the states before each layer and after the last.
            output_attentions: return attention weights per layer (None for a convolution layer of one head).

        Raises:
            ValueError: for inputs of other shapes or outside the configured sizes (``inputs.check_inputs``).
        """
        check_inputs(self.config, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        embedded = self.embeddings(input_ids, token_type_ids, inputs_embeds, position_ids)
        padding = Padding.from_mask(attention_mask, embedded.dtype, is_zeroed=self.config.mask_padding)
        return self._encoded(embedded, padding, output_hidden_states, output_attentions)


def _never_used(config: FlexiBERTConfig) -> list[str]:
    """Patterns of what the original's files hold although no output depends on it, and ours do not build."""
    is_absolute = config.position_embedding_type == "absolute"
    names = ["position_ids"] if is_absolute else ["position_ids", "position_embeddings.weight"]
    patterns = [rf"(^|\.)embeddings\.{re.escape(name)}$" for name in names]
    spec = config.model_spec
    if spec.groups:
        return patterns
    for index, layer in enumerate(spec.layers):
        is_hetero = spec.format == "hetero"
        built = {parameter.name for parameter in mixing_parameters(layer, is_hetero, Sizes.of(config))}
        attends = {head_operation(head.operation).attends for head in layer.heads}
        unread = [] if is_hetero or attends != {Attends.CONTENTS} else ["W"]
        if attends == {Attends.POSITIONS}:
            unread = ["query.weight", "query.bias", "key.weight", "key.bias"]
        for name in unread:
            if f"attention.self.{name}" not in built:
                patterns.append(rf"(^|\.)encoder\.layer\.{index}\.attention\.self\.{re.escape(name)}$")
    return patterns
