"""What a model may be given: refused before it is computed with, by one message that says what is allowed.

Shapes: B batch, S sequence, E width of the word vectors.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.utils import is_tracing

from ..mixing.attention import holds


def check_inputs(
    config: Any,
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    token_type_ids: Tensor | None,
    position_ids: Tensor | None,
    inputs_embeds: Tensor | None,
) -> None:
    """Refuse inputs that the model cannot or would wrongly compute with. Traced, only what holds for every batch.

    Raises:
        ValueError: for both or neither of ids and word vectors, other shapes than (B, S) and (B, S, E), sequences
            longer than the configuration allows, numbers outside their table, and positions of a model without
            absolute ones.
    """
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError("Exactly one of 'input_ids' and 'inputs_embeds' must be given")
    length = _length(config, input_ids, inputs_embeds)
    limit = config.max_position_embeddings
    if length > limit:
        raise ValueError(
            f"Sequences must be no longer than 'max_position_embeddings' {limit}. Got {length} tokens; truncate them"
        )
    kind = config.position_embedding_type
    if position_ids is not None and kind != "absolute":
        raise ValueError(
            f"'position_ids' place tokens only where 'position_embedding_type' is absolute. Got {kind!r}, which counts "
            "distances; leave them out"
        )
    if is_tracing():
        return
    if length == 0:
        raise ValueError("Sequences must have at least one token. Got none")
    given = input_ids if inputs_embeds is None else inputs_embeds
    assert given is not None
    others = {"attention_mask": attention_mask, "token_type_ids": token_type_ids, "position_ids": position_ids}
    for name, values in others.items():
        _check_shape(name, values, tuple(given.shape[:2]))
    _check_range("input_ids", input_ids, "vocab_size", config.vocab_size)
    _check_range("token_type_ids", token_type_ids, "type_vocab_size", config.type_vocab_size)
    _check_range("position_ids", position_ids, "max_position_embeddings", limit)


def _length(config: Any, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> int:
    if input_ids is not None:
        if input_ids.dim() != 2 or input_ids.is_floating_point():
            found = f"{tuple(input_ids.shape)} of {input_ids.dtype}"
            raise ValueError(f"'input_ids' must be whole numbers of shape (batch, sequence). Got {found}")
        return input_ids.shape[1]
    assert inputs_embeds is not None
    if inputs_embeds.dim() != 3 or inputs_embeds.shape[2] != config.input_size:
        raise ValueError(
            f"'inputs_embeds' must be of shape (batch, sequence, {config.input_size}). Got {tuple(inputs_embeds.shape)}"
        )
    return inputs_embeds.shape[1]


def _check_shape(name: str, values: Tensor | None, expected: tuple[int, ...]) -> None:
    if values is not None and tuple(values.shape) not in (expected, (1, expected[1])):
        raise ValueError(f"'{name}' must hold a number per token, in shape {expected}. Got {tuple(values.shape)}")


def _check_range(name: str, ids: Tensor | None, limit_name: str, limit: int) -> None:
    if ids is None or ids.numel() == 0:
        return
    low, high = torch.aminmax(ids)
    if holds((low < 0) | (high >= limit)):
        raise ValueError(f"'{name}' must be in [0, '{limit_name}' {limit}). Got {int(low if low < 0 else high)}")
