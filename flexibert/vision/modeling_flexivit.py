"""The encoder for images: patches as tokens (ViT, Dosovitskiy et al. 2021), layers pre-norm, mixing as in FlexiBERT.

The class token, the distillation token where there is one (DeiT, Touvron et al. 2021) and the patches, row by row, are
one sequence: ``sa``, ``l`` and ``c`` heads mix it as they mix words. With one shape of ``sa``/``sdp`` layers this is
Hugging Face's DeiT (see ``deit.py``).
The layers are in ``vision_layers.py``.
Shapes: B batch, C channels, L labels.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling, ImageClassifierOutput
from transformers.models.deit.modeling_deit import DeiTForImageClassificationWithTeacherOutput
from transformers.utils.generic import can_return_tuple

from ..mixing.attention import Padding
from ..model.modeling_flexibert import FlexiBERTPreTrainedModel
from ..model.spec_config import project_module
from .configuration_flexivit import FlexiViTConfig
from .vision_layers import ImagePooler, PatchEmbeddings, PreNormEncoder

NO_PADDING = Padding()


class FlexiViTPreTrainedModel(FlexiBERTPreTrainedModel):
    """Loading, saving and initialisation, shared by the encoder and the models with a classifier."""

    config_class = FlexiViTConfig
    base_model_prefix = "vit"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules: ClassVar[list[str]] = ["PatchEmbeddings", "PreNormLayer"]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As inherited. An Auto class that took one of the two classifiers from a folder would take it for every other
        folder of that name; here it gets the one that the folder's ``architectures`` names."""
        is_auto = "adapter_kwargs" in kwargs  # no other caller gives these
        named = getattr(kwargs.get("config"), "architectures", None) or () if is_auto else ()
        chosen = next((other for other in CLASSIFIERS if other.__name__ in named and cls in CLASSIFIERS), cls)
        if chosen is not cls and project_module("flexibert") is None:  # so that its code is saved with it, as ``cls``'s
            chosen.register_for_auto_class("AutoModelForImageClassification")
        return super(FlexiViTPreTrainedModel, chosen).from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def load_model_from_source(self, source: FlexiBERTPreTrainedModel, seed: int = 0) -> float:
        """Not for images.

        Raises:
            ValueError: always.
        """
        raise ValueError("Weights are transferred between FlexiBERT models only")

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """As inherited; tokens and positions from a normal distribution cut off at 2 (Hugging Face's start at 0)."""
        super()._init_weights(module)
        if isinstance(module, PatchEmbeddings):
            for parameter in module.parameters(recurse=False):
                init.trunc_normal_(parameter, mean=0.0, std=self.config.initializer_range)


class FlexiViTModel(FlexiViTPreTrainedModel):
    """The encoder: images to states of the last layer, and a pooled state of the class token.

    Args:
        config: sizes and architecture.
        add_pooling_layer: whether to build the pooler.
        shares_config: keep ``config`` itself and not a copy, as the encoder inside a model with a classifier does.
    """

    def __init__(self, config: FlexiViTConfig, add_pooling_layer: bool = True, shares_config: bool = False) -> None:
        super().__init__(config, shares_config=shares_config)
        self.embeddings = PatchEmbeddings(self.config)
        self.encoder = PreNormEncoder(self.config)
        self.pooler = ImagePooler(self.config) if add_pooling_layer else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.patch_embeddings

    @can_return_tuple
    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> BaseModelOutputWithPooling:
        """States of every token, after the final LayerNorm.

        Args:
            pixel_values: (B, C, height, width) of the configured sizes.
            output_hidden_states: return the states before each layer and after the last, before the final LayerNorm.
            output_attentions: return attention weights per layer (None for a convolution layer of one head).

        Raises:
            ValueError: for images of another shape.
        """
        expected = (self.config.num_channels, *self.config.image_shape)
        if pixel_values is None or tuple(pixel_values.shape[1:]) != expected:
            found = "nothing" if pixel_values is None else tuple(pixel_values.shape)
            raise ValueError(f"'pixel_values' must be of shape (batch, {', '.join(map(str, expected))}). Got {found}")
        embedded = self.embeddings(pixel_values.to(self.embeddings.patch_embeddings.weight.dtype))
        return self._encoded(embedded, NO_PADDING, output_hidden_states, output_attentions)


class FlexiViTForImageClassification(FlexiViTPreTrainedModel):
    """A class per image, from the class token."""

    def __init__(self, config: FlexiViTConfig) -> None:
        super().__init__(config)
        self.vit = FlexiViTModel(self.config, add_pooling_layer=False, shares_config=True)
        self.classifier = _classifier(self.config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> ImageClassifierOutput:
        """``labels``: (B,) class ids; (B,) numbers where L is 1; (B, L) of 0 and 1 for several. ``logits``: (B, L)."""
        encoded = self.vit(pixel_values, output_hidden_states, output_attentions, return_dict=True)
        logits = self.classifier(encoded.last_hidden_state[:, 0])
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return ImageClassifierOutput(
            loss=loss, logits=logits, hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )


class FlexiViTForImageClassificationWithTeacher(FlexiViTPreTrainedModel):
    """A class per image: the mean of two classifiers, of the class token and of the distillation token.

    Raises:
        ValueError: when the configuration has no distillation token.
    """

    def __init__(self, config: FlexiViTConfig) -> None:
        super().__init__(config)
        if not self.config.use_distillation_token:
            raise ValueError("'use_distillation_token' must be true: the second classifier reads that token")
        self.vit = FlexiViTModel(self.config, add_pooling_layer=False, shares_config=True)
        self.cls_classifier = _classifier(self.config)
        self.distillation_classifier = _classifier(self.config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> DeiTForImageClassificationWithTeacherOutput:
        """``cls_logits`` and ``distillation_logits``, each (B, L), and their mean, ``logits``."""
        encoded = self.vit(pixel_values, output_hidden_states, output_attentions, return_dict=True)
        cls_logits = self.cls_classifier(encoded.last_hidden_state[:, 0])
        distillation_logits = self.distillation_classifier(encoded.last_hidden_state[:, 1])
        return DeiTForImageClassificationWithTeacherOutput(
            logits=(cls_logits + distillation_logits) / 2,
            cls_logits=cls_logits,
            distillation_logits=distillation_logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )


CLASSIFIERS = (FlexiViTForImageClassification, FlexiViTForImageClassificationWithTeacher)


def _classifier(config: FlexiViTConfig) -> nn.Module:
    return nn.Linear(config.hidden_size, config.num_labels) if config.num_labels else nn.Identity()
