"""A model for a part of its vocabulary: the same function of the tokens that stay, by their new ids.

Most parameters of a small encoder are word vectors. Those that a smaller tokenizer (``dataset.trimmed_tokenizer``) no
longer needs go here; layers and heads stay as they are.
Shapes: H hidden size, V vocabulary.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..checkpoints.model_card import add_to_lineage
from ..model.encoder import Embeddings
from ..model.heads import Predictions
from ..model.modeling_flexibert import FlexiBERTPreTrainedModel

Model = TypeVar("Model", bound=FlexiBERTPreTrainedModel)


def with_vocabulary(model: Model, old_ids: Sequence[int]) -> Model:
    """A copy of the model with the word vectors of some tokens only, and a word predictor with the scores of these.

    Args:
        model: any FlexiBERT model of text, also a grouped one; it is not changed.
        old_ids: for each id of the new vocabulary, the id of its token in the model's, each once. The model's padding
            token must be among them. The first and last tokens of a sentence that its configuration names and that are
            not among them are None in the new one's.

    Raises:
        ValueError: for another kind of model; or for ids that it does not have, that are named twice or that lack
            padding.
    """
    if not isinstance(model, FlexiBERTPreTrainedModel):
        raise ValueError(f"'model' must be a FlexiBERT model of text. Got {type(model).__name__}; convert it first")
    _check(old_ids, model.config.vocab_size, model.config.pad_token_id)
    small = copy.deepcopy(model)
    _renumber(small, old_ids)
    rows = torch.tensor(old_ids)
    kept: dict[int, nn.Parameter] = {}  # by the parameter it is of: what is shared stays shared

    def of_rows(weights: Tensor) -> nn.Parameter:
        """The rows of the new vocabulary, (V, H) or (V,)."""
        if id(weights) not in kept:
            kept[id(weights)] = nn.Parameter(weights.detach()[rows], requires_grad=weights.requires_grad)
        return kept[id(weights)]

    for module in small.modules():
        if isinstance(module, Embeddings):
            words = module.word_embeddings
            words.weight = of_rows(words.weight)
            words.num_embeddings, words.padding_idx = len(old_ids), small.config.pad_token_id
        elif isinstance(module, Predictions):
            decoder = module.decoder
            decoder.weight, decoder.bias, module.bias = map(of_rows, (decoder.weight, decoder.bias, module.bias))
            decoder.out_features = len(old_ids)
    add_to_lineage(small, f"Vocabulary trimmed from {model.config.vocab_size:,} to {len(old_ids):,} tokens.")
    return small


def _check(old_ids: Sequence[int], vocab_size: int, pad_token_id: int | None) -> None:
    problems = []
    outside = sorted({number for number in old_ids if not 0 <= number < vocab_size})
    twice = sorted(number for number, count in Counter(old_ids).items() if count > 1)
    if not old_ids:
        problems.append("there must be one or more")
    if outside:
        problems.append(f"the model has ids below {vocab_size:,}, not {outside[:5]}; take its own tokenizer")
    if twice:
        problems.append(f"each id may stand once, not {twice[:5]} again")
    if pad_token_id is not None and pad_token_id not in old_ids:
        problems.append(f"the model's 'pad_token_id' {pad_token_id} must be one")
    if problems:
        raise ValueError("'old_ids' must be different ids of the model's tokens: " + "; ".join(problems))


def _renumber(model: FlexiBERTPreTrainedModel, old_ids: Sequence[int]) -> None:
    config = model.config
    new_ids = {old: new for new, old in enumerate(old_ids)}
    config.vocab_size = len(old_ids)
    config.pad_token_id = new_ids.get(config.pad_token_id)
    config.bos_token_id = new_ids.get(config.bos_token_id)
    last = config.eos_token_id
    config.eos_token_id = (
        [new_ids[old] for old in last if old in new_ids] if isinstance(last, list) else new_ids.get(last)
    )
