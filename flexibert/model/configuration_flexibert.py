"""Configuration of a FlexiBERT network: a model dict, and the sizes that no architecture fixes.

The model dict (FlexiBERT, Tuli et al. 2022, section 3.1) is the one source of truth for the architecture. Folders
written by the original code (``model_type`` ``bert``, the architecture in five lists) are read too.
"""

from typing import Any

from transformers import GenerationConfig

from design_space import ModelSpec

from .options import beyond, is_size, wrong_labels, wrong_values
from .spec_config import SpecConfig

CONSISTENT = "consistent"
TRANSFER_MODES = (CONSISTENT, "OD", "RP")
POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")
POOLINGS = ("cls", "mean")

# The architecture in the original's config.json; the last is a flag there and a method here.
ORIGINAL_LAYOUT = ("attention_heads_list", "hidden_dim_list", "ff_dim_list", "attention_type", "similarity_list")
ORIGINAL_FLAG = "from_model_dict_hetero"
# Shape of a homogeneous encoder, by BERT's names: name -> default.
HOMOGENEOUS = {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
# Accepted with this value only: (value, why).
FIXED = {
    "head_ratio": (2, "a convolution layer splits its heads in two halves"),
    "num_groups": (1, "grouped feed-forward layers were never built"),
    "is_decoder": (False, "FlexiBERT is an encoder"),
    "add_cross_attention": (False, "FlexiBERT is an encoder"),
}


def check_mode(mode: str) -> str:
    """Returns ``mode``. Raises ``ValueError`` when it is no mode of transfer."""
    if mode not in TRANSFER_MODES:
        raise ValueError(
            f"'transfer_mode' must be 'OD' (ordered), 'RP' (random projection) or 'consistent'. Got {mode!r}"
        )
    return mode


class FlexiBERTConfig(SpecConfig):
    """Everything needed to build a FlexiBERT network.

    Args:
        model_dict: the architecture, standard or hetero (see ``ModelSpec``); default: a homogeneous encoder of
            BERT-base's shape, which ``hidden_size``, ``num_hidden_layers``, ``num_attention_heads`` and
            ``intermediate_size`` change.
        vocab_size: number of token ids.
        max_position_embeddings: longest sequence, in tokens.
        type_vocab_size: number of segments. The original's default is 1, with which segment 1 is an index error.
        position_embedding_type: ``absolute`` (a vector added to each embedding), ``relative_key`` or
            ``relative_key_query`` (terms in the attention scores; Shaw et al. 2018, Huang et al. 2020).
        word_vector_size: width of the vectors of words, segments and positions where it is another than the first
            layer's: a Linear after their LayerNorm then makes them as wide as the layer (ELECTRA, Clark et al. 2020).
            Default: the first layer's width, without a Linear.
        pooling: what the pooler reads: ``cls``, the state of the first token, or ``mean``, the mean of the states at
            real positions.
        pad_token_id: its embedding is zero at the start and never trained.
        tie_word_embeddings: share the masked-LM decoder's matrix with the word embeddings, where their widths are
            equal.
        sparse_prediction: score only the tokens that have a label in masked LM, which costs a seventh of the decoder at
            the usual 15 % of hidden tokens; ``logits`` are then (number of labels, vocabulary). The loss is the same.
            Their number is only known at run time, which breaks the graph of ``torch.compile``: leave it off there.
        classifier_dropout: dropout before the task heads; default: ``hidden_dropout_prob``.
        may_lack_answers: whether questions that the model was trained on may have no answer, which it then gives by
            pointing at the first token.
        mask_padding: whether transforms and convolutions read zeros at padded positions (attention never looks there).
            Default: true, and false for folders of the original code, whose weights learned with padding read and
            whose outputs are then reproduced.
        plugins, lineage: see ``SpecConfig``.

    Raises:
        ValueError: listing every unknown name, wrong value and contradiction.
    """

    model_type = "flexibert"
    title = "FlexiBERT"
    further_names = frozenset({*ORIGINAL_LAYOUT, ORIGINAL_FLAG, *HOMOGENEOUS, *FIXED, *GenerationConfig().to_dict()})

    vocab_size: int = 30522
    max_position_embeddings: int = 514
    type_vocab_size: int = 2
    position_embedding_type: str = "relative_key"
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    classifier_dropout: float | None = None
    pooling: str = "cls"
    word_vector_size: int | None = None
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    sparse_prediction: bool = False
    may_lack_answers: bool = False
    mask_padding: bool | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        problems = self._begin(kwargs)
        for name, (value, reason) in FIXED.items():
            if kwargs.pop(name, value) != value:
                problems.append(f"'{name}' must be {value}: {reason}")
        shape = {name: kwargs.pop(name) for name in HOMOGENEOUS if name in kwargs}
        original = {name: kwargs.pop(name) for name in (*ORIGINAL_LAYOUT, ORIGINAL_FLAG) if name in kwargs}
        problems += self._set_architecture(shape, original)
        if self.mask_padding is None:
            self.mask_padding = original.get("attention_heads_list") is None
        problems += self._value_problems(kwargs.get("num_labels"))
        self._raise(problems)
        super().__post_init__(**kwargs)

    def from_model_dict(self, model_dict: dict[str, Any]) -> "FlexiBERTConfig":
        """Sets the architecture to a standard model dict and returns the configuration."""
        return self._set_model_dict(model_dict, "standard")

    def from_model_dict_hetero(self, model_dict: dict[str, Any]) -> "FlexiBERTConfig":
        """Sets the architecture to a hetero model dict (FlexiBERT 2.0) and returns the configuration."""
        return self._set_model_dict(model_dict, "hetero")

    @property
    def input_size(self) -> int:
        """Width of the word vectors, as ``inputs_embeds`` holds them; those of groups are side by side."""
        if self.word_vector_size is None:
            return self.embedding_size
        return self.word_vector_size * max(1, len(self.model_spec.groups))

    @classmethod
    def is_own_config(cls, config_dict: dict[str, Any]) -> bool:
        """As inherited; those of the original code, which call themselves ``bert``, count as ours."""
        return super().is_own_config(config_dict) or "attention_heads_list" in config_dict

    def _set_model_dict(self, model_dict: dict[str, Any], expected: str) -> "FlexiBERTConfig":
        spec = ModelSpec.from_dict(model_dict)
        if spec.format != expected:
            other = {"standard": "from_model_dict", "hetero": "from_model_dict_hetero"}.get(spec.format, "model_dict=")
            raise ValueError(
                f"The model dict must be in the {expected} format. Got the {spec.format} format; use '{other}'"
            )
        self.model_dict = spec.to_dict()
        return self

    def _set_architecture(self, shape: dict[str, Any], original: dict[str, Any]) -> list[str]:
        """Fills ``model_dict`` from whatever describes the architecture; returns what is wrong."""
        try:
            if original.get("attention_heads_list") is not None:
                from_lists = ModelSpec.from_dict(_original_model_dict(original, shape)).to_dict()
                if self.model_dict is not None and ModelSpec.from_dict(self.model_dict).to_dict() != from_lists:
                    return [
                        "'model_dict' and 'attention_heads_list' describe different architectures; give one of them"
                    ]
                self.model_dict = from_lists
                return []
            if self.model_dict is None:
                self.model_dict = ModelSpec.homogeneous(*(HOMOGENEOUS | shape).values()).to_dict()
            self.model_dict = ModelSpec.from_dict(self.model_dict).to_dict()
        except ValueError as error:
            return [str(error)]
        return [
            f"'{name}' follows from 'model_dict' and is {getattr(self, name)} there. Got {value!r}; leave it out"
            for name, value in shape.items()
            if value != getattr(self, name)
        ]

    def _value_problems(self, num_labels: Any) -> list[str]:
        problems = []
        if self.position_embedding_type not in POSITION_EMBEDDING_TYPES:
            known = ", ".join(POSITION_EMBEDDING_TYPES)
            problems.append(f"'position_embedding_type' must be one of {known}. Got {self.position_embedding_type!r}")
        if self.pooling not in POOLINGS:
            problems.append(f"'pooling' must be one of {', '.join(POOLINGS)}. Got {self.pooling!r}")
        shares = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
        problems += wrong_values(
            self,
            flags=("tie_word_embeddings", "sparse_prediction", "may_lack_answers", "mask_padding"),
            sizes=("vocab_size", "max_position_embeddings", "type_vocab_size"),
            shares=shares if self.classifier_dropout is not None else shares[:2],
            amounts=("initializer_range", "layer_norm_eps"),
            activations=("hidden_act",),
        )
        problems += wrong_labels(self, num_labels)
        if self.word_vector_size is not None and not is_size(self.word_vector_size):
            problems.append(
                f"'word_vector_size' must be a whole number above 0{beyond(self.word_vector_size)}, or None. Got "
                f"{self.word_vector_size!r}"
            )
        if self.pad_token_id is not None and not (self.pad_token_id == 0 or is_size(self.pad_token_id)):
            problems.append(f"'pad_token_id' must be a whole number of 0 or more, or None. Got {self.pad_token_id!r}")
        if not problems and self.pad_token_id is not None and self.pad_token_id >= self.vocab_size:
            problems.append(f"'pad_token_id' must be below 'vocab_size' {self.vocab_size}. Got {self.pad_token_id}")
        return problems


def _original_model_dict(original: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    """The model dict in the original's lists; ``hidden_size`` and the like beside them are stale defaults there."""
    heads = original["attention_heads_list"]
    common = {
        "l": shape.get("num_hidden_layers", len(heads)),
        "h": original.get("hidden_dim_list"),
        "f": original.get("ff_dim_list"),
    }
    if original.get(ORIGINAL_FLAG, any(isinstance(entry, list) for entry in heads)):
        return common | {"o": heads}
    return common | {"o": original.get("attention_type"), "n": heads, "p": original.get("similarity_list")}
