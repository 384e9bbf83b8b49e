"""A pre-trained encoder as the root of others: any known model with its tokenizer, and whose work it is."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from ..checkpoints.model_card import write_model_card
from ..model.modeling_flexibert import FlexiBERTModel
from .families import from_transformers
from .folders import Loaded, load, load_tokenizer, new_folder
from .origin import keep_origin, name_of, origin_of
from .sentence_vectors import SentenceVectors, sentence_vectors
from .sources import Source, located

POOLED_HEADS = ("ForSequenceClassification", "ForMultipleChoice", "ForNextSentencePrediction", "ForPreTraining")


@dataclass(frozen=True)
class PretrainedEncoder:
    """An encoder to start from.

    Attributes:
        name: what people call it (``origin.name_of``).
        model: the encoder with a pooler, in evaluation mode; its weights are the source's.
        tokenizer: a fast one; its texts are never longer than the model's positions.
        pooling: ``cls`` or ``mean`` where the source says how it was trained to be read, else None.
        base_model: what a model card names as base model.
        license: what a model card names as licence; None where it is not known.
        notes: sentences that a user should read.
    """

    name: str
    model: FlexiBERTModel
    tokenizer: PreTrainedTokenizerBase
    pooling: str | None
    base_model: str
    license: str | None
    notes: tuple[str, ...]


def load_encoder(source: str | Path, *, revision: str | None = None) -> PretrainedEncoder:
    """The encoder, without its task head, of a FlexiBERT or of a model of transformers.

    Args:
        source: a folder, or a name on the Hub, of FlexiBERT, BERT, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT or
            ELECTRA.
        revision: of a model on the Hub: a branch, a tag or a commit.

    Raises:
        ValueError: when there is no such model, it is of another family or a decoder, it has no fast tokenizer of its
            words, or its files cannot be read or had.

    Example:
        >>> encoder = load_encoder("sentence-transformers/all-MiniLM-L6-v2")  # doctest: +SKIP
        >>> encoder.pooling, encoder.license  # doctest: +SKIP
        ('mean', 'apache-2.0')
    """
    place = located(source)
    loaded = load(place, is_encoder=True, revision=revision)
    try:
        converted: Any = loaded.model if loaded.family is None else from_transformers(loaded.model)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    vectors = _trained_pooling(loaded) if loaded.family is None else sentence_vectors(place, revision)
    origin = origin_of(place, loaded.config, revision)
    model = _root(converted, vectors.pooling)
    keep_origin(model, origin)
    return PretrainedEncoder(
        name=name_of(place),
        model=model,
        tokenizer=_fast_tokenizer(place, model, revision),
        pooling=vectors.pooling,
        base_model=origin.base_model if isinstance(origin.base_model, str) else ", ".join(origin.base_model),
        license=origin.license,
        notes=(*_notes(loaded, origin.license), *vectors.notes),
    )


def save_encoder(encoder: PretrainedEncoder, folder: str | Path) -> None:
    """Write the encoder as a FlexiBERT folder with its tokenizer, and a card that names base model and licence; whole
    or not at all.

    Raises:
        ValueError: when the folder exists.
    """
    with new_folder(encoder.model, Path(folder)) as new:
        encoder.tokenizer.save_pretrained(new)
        write_model_card(new, encoder.model, title=encoder.name, notes=encoder.notes)


def _trained_pooling(loaded: Loaded) -> SentenceVectors:
    """How a FlexiBERT's pooler reads, where that is not the default of a model that was never pooled."""
    is_pooled = _head(loaded).endswith(POOLED_HEADS)
    pooling = loaded.model.config.pooling
    return SentenceVectors(pooling if is_pooled or pooling != "cls" else None)


def _head(loaded: Loaded) -> str:
    """The class with a head that was saved; empty for an encoder."""
    saved = (loaded.config.get("architectures") or [""])[0]
    return "" if saved.endswith(("Model", "ModelModular")) and "LMHead" not in saved else saved


def _root(encoder: Any, pooling: str | None) -> FlexiBERTModel:
    """The encoder with a pooler that reads as ``pooling`` says, in evaluation mode and single precision."""
    config = copy.deepcopy(encoder.config)
    config.pooling = pooling or config.pooling
    config._attn_implementation = encoder.config._attn_implementation
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a pooler that the source lacks is the same each time
        root = FlexiBERTModel(config)
    root.load_state_dict(encoder.state_dict(), strict=encoder.pooler is not None)
    return root.eval()


def _fast_tokenizer(source: Source, model: FlexiBERTModel, revision: str | None) -> PreTrainedTokenizerBase:
    """The tokenizer, whose texts fit the model: not longer, and without segments where the model has but one.

    Raises:
        ValueError: when it is a slow one, or has words that the model lacks.
    """
    tokenizer = load_tokenizer(source, revision)
    if not tokenizer.is_fast:
        raise ValueError(f"{source}: its tokenizer must be a fast one, with 'tokenizer.json'. Got a slow one")
    last, size = max(tokenizer.get_vocab().values(), default=0), model.config.vocab_size
    if last >= size:
        raise ValueError(f"{source}: the tokenizer must have the model's {size} tokens at most. Got token {last}")
    tokenizer.model_max_length = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    if model.config.type_vocab_size == 1:
        names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = names  # the second is saved
    return tokenizer


def _notes(loaded: Loaded, license: str | None) -> list[str]:
    notes = []
    if _head(loaded):
        notes.append(f"Its task head ({_head(loaded)}) is dropped: the encoder comes in without.")
    if getattr(loaded.model, "pooler", None) is None:
        notes.append("Its pooler starts at random: the source has none.")
    if license is None:
        notes.append("Its licence is not known: no model card (README.md) names one.")
    return notes
