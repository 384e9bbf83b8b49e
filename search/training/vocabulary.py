"""A model and its tokenizer with the vocabulary that texts need."""

from collections.abc import Iterable
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from dataset import trimmed_tokenizer
from dataset.tokenizer import vocabulary_size
from flexibert import FlexiBERTPreTrainedModel, with_vocabulary


@dataclass(frozen=True)
class Trimmed:
    """A model and its tokenizer after trimming.

    Attributes:
        old_size, new_size: tokens of the vocabulary before and after.
        old_parameters, new_parameters: of the whole model.
    """

    model: FlexiBERTPreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    old_size: int
    new_size: int
    old_parameters: int
    new_parameters: int

    def describe(self) -> str:
        """Returns what was done, in a line."""
        gone = (self.old_parameters - self.new_parameters) / 1e6
        return (
            f"vocabulary {self.old_size:,} -> {self.new_size:,} tokens, {gone:.1f} M of "
            f"{self.old_parameters / 1e6:.1f} M parameters gone"
        )


def trim(
    model: FlexiBERTPreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], *, least_count: int = 1
) -> Trimmed:
    """The model and its tokenizer for the tokens that texts use, and the smallest; neither is changed.

    Args:
        texts, least_count: see ``trimmed_tokenizer``.

    Raises:
        ValueError: for a tokenizer that cannot be trimmed, or has more tokens than the model.
    """
    if vocabulary_size(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"'tokenizer' must be the model's, which knows {model.config.vocab_size:,} tokens. Got one of "
            f"{vocabulary_size(tokenizer):,}"
        )
    smaller, old_ids = trimmed_tokenizer(tokenizer, texts, least_count=least_count)
    small = with_vocabulary(model, old_ids)
    sizes = (model.config.vocab_size, len(old_ids), model.num_parameters(), small.num_parameters())
    return Trimmed(small, smaller, *sizes)
