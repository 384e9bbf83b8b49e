"""Configuration of a FlexiViT network: a model dict, and the sizes of images and patches.

As in ``configuration_flexibert.py`` the model dict is the one source of truth for the architecture, and names that the
class does not know are refused. Options and defaults are those of Hugging Face's DeiT (Touvron et al. 2021).
"""

from typing import Any

from design_space import ModelSpec

from ..model.options import LARGEST_SIZE, is_size, wrong_labels, wrong_values
from ..model.spec_config import SpecConfig

# DeiT-base.
DEFAULT_SHAPE = (12, 768, 12, 3072)  # layers, hidden size, heads, feed-forward width
# Computed from the options; a configuration that gives one of them is refused.
COMPUTED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings")


class FlexiViTConfig(SpecConfig):
    """Everything needed to build a FlexiViT network.

    Args:
        model_dict: the architecture, standard or hetero (see ``ModelSpec``); default: DeiT-base's.
        image_size: height and width of an image: one number, or two.
        patch_size: height and width of a patch: one number, or two; what is left at the right and bottom edges is
            never read.
        num_channels: of an image.
        use_distillation_token: a second token before the patches (Touvron et al. 2021, section 4).
        qkv_bias: whether queries, keys and values have a bias.
        pooler_output_size: width of the pooled state; default: the last layer's.
        pooler_act: activation of the pooled state.
        plugins, lineage: see ``SpecConfig``.

    Raises:
        ValueError: listing every unknown name and wrong value.
    """

    model_type = "flexivit"
    title = "FlexiViT"
    further_names = frozenset(COMPUTED)
    other_classes = "its own class (a DeiT then comes in by 'from_deit')"

    image_size: int | list[int] | tuple[int, int] = 224
    patch_size: int | list[int] | tuple[int, int] = 16
    num_channels: int = 3
    use_distillation_token: bool = True
    qkv_bias: bool = True
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"

    def __post_init__(self, **kwargs: Any) -> None:
        problems = [f"'{name}' is computed from the other options; leave it out" for name in COMPUTED if name in kwargs]
        problems += self._begin(kwargs)
        for name in COMPUTED:
            kwargs.pop(name, None)
        if self.model_dict is None:
            self.model_dict = ModelSpec.homogeneous(*DEFAULT_SHAPE).to_dict()
        try:
            self.model_dict = ModelSpec.from_dict(self.model_dict).to_dict()
        except ValueError as error:
            problems.append(str(error))
        problems += self._value_problems(kwargs.get("num_labels"))
        self._raise(problems)
        for name in ("image_size", "patch_size"):
            if isinstance(getattr(self, name), tuple):
                setattr(self, name, list(getattr(self, name)))  # as JSON gives it back
        super().__post_init__(**kwargs)

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image."""
        return _pair(self.image_size)

    @property
    def patch_shape(self) -> tuple[int, int]:
        """Height and width of a patch."""
        return _pair(self.patch_size)

    @property
    def num_patches(self) -> int:
        (height, width), (patch_height, patch_width) = self.image_shape, self.patch_shape
        return (height // patch_height) * (width // patch_width)

    @property
    def max_position_embeddings(self) -> int:
        """Length of every sequence: the class token, the distillation token if there is one, the patches."""
        return self.num_patches + 1 + self.use_distillation_token

    @property
    def position_embedding_type(self) -> str:
        """What the mixing classes ask for; positions are always added to the embeddings."""
        return "absolute"

    def _value_problems(self, num_labels: Any) -> list[str]:
        has_width = self.pooler_output_size is not None
        problems = wrong_values(
            self,
            flags=("use_distillation_token", "qkv_bias"),
            sizes=("num_channels", *(("pooler_output_size",) if has_width else ())),
            shares=("hidden_dropout_prob", "attention_probs_dropout_prob"),
            amounts=("initializer_range", "layer_norm_eps"),
            activations=("hidden_act", "pooler_act"),
        )
        problems += wrong_labels(self, num_labels, least=0)
        for name in ("image_size", "patch_size"):
            value = getattr(self, name)
            is_pair = isinstance(value, list | tuple) and len(value) == 2 and all(map(is_size, value))
            if not is_pair and not is_size(value):
                problems.append(f"'{name}' must be a whole number above 0, or two. Got {value!r}")
        if not problems and not self.num_patches:
            problems.append(f"'patch_size' must fit into 'image_size' {self.image_size}. Got {self.patch_size}")
        if not problems and not is_size(self.max_position_embeddings):
            problems.append(f"An image must have at most {LARGEST_SIZE:,} patches. Got {self.num_patches:,}")
        return problems


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
