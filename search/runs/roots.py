"""The pre-trained encoders that a search starts from, made ready in a run directory.

``roots/<name>/`` holds each as one of our models with its tokenizer, whole or not at all. The first is the reference:
all models of the search share its vocabulary, positions, segments, activation and pooling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator
from rich.console import Console
from transformers.utils import logging as transformers_logging

from dataset.loading import name_or_place
from dataset.prepare import DataOptions
from dataset.tokenizer import TRAIN
from design_space.options import Natural, Switch, options
from flexibert import FlexiBERTConfig, FlexiBERTModel, load_encoder, save_encoder
from flexibert.conversion.origin import name_of

from ..training.roots import Roots
from ..training.vocabulary import trim
from .pooling import better_pooling

SHARED = (
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
    "position_embedding_type",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "layer_norm_eps",
    "initializer_range",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "pooling",
    "word_vector_size",
    "base_model",
    "license",
)
"""What of a root's configuration every model of its search has."""


@options
class RootOptions:
    """Pre-trained encoders to start from."""

    start_from: tuple[Annotated[str, AfterValidator(name_or_place)], ...] = ()
    """Pre-trained encoders (folders or Hub names): the first is fine-tuned as it is, and is what all others are
    compared with. Without --dataset_file its sub-architectures are searched."""
    pooling: Literal["cls", "mean"] | None = None
    """What a text's prediction is read from: its first token, or the mean of all; when not given, what the encoder's
    folder says, else what does better on validation."""
    trim_vocabulary: Switch = False
    """Drop the word vectors of tokens that neither task nor corpus uses."""
    screen: Natural = 48
    """Parts of the encoder that are looked at before a few of them are trained, on each level; 0 for none."""


def prepare_roots(options: RootOptions, data: DataOptions, folder: Path, console: Console) -> Roots:
    """Converts what is not there yet into ``folder``, and says what was changed of it.

    Raises:
        ValueError: for what cannot be loaded, another vocabulary or architecture than fits the first, texts that are
            longer than an encoder's positions, or a tokenizer beside its own.
    """
    if data.tokenizer != TRAIN:
        raise ValueError(
            f"'tokenizer' is that of the encoder in 'start_from'. Got {data.tokenizer!r} too; leave it out"
        )
    folders: dict[str, Path] = {}
    for source in options.start_from:
        place = folder / Path(source).name
        if place.name in folders:
            raise ValueError(f"'start_from' must name encoders of different names. Got {place.name!r} twice")
        if not place.is_dir():
            _convert(source, options, data, place, console)
        folders[place.name] = place
    configs = {name: FlexiBERTConfig.from_pretrained(place) for name, place in folders.items()}
    _check(configs, data)
    first = next(iter(configs.values()))
    return Roots(
        folders=folders,
        specs={name: config.model_spec for name, config in configs.items()},
        network={name: getattr(first, name) for name in SHARED},
        title=name_of(options.start_from[0]),
    )


def with_tokenizer(data: DataOptions, roots: Roots) -> DataOptions:
    """The data as the roots read them."""
    return replace(data, tokenizer=str(next(iter(roots.folders.values()))))


def _convert(source: str, options: RootOptions, data: DataOptions, place: Path, console: Console) -> None:
    transformers_logging.disable_progress_bar()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # the notes say what is missing, and what is dropped
    encoder = load_encoder(source)
    transformers_logging.set_verbosity(verbosity)
    _say(place.name, encoder.notes, console)
    if options.trim_vocabulary:
        trimmed = trim(encoder.model, encoder.tokenizer, data.texts())
        encoder = replace(encoder, model=trimmed.model, tokenizer=trimmed.tokenizer)
        _say(place.name, [trimmed.describe()], console)
    pooling = options.pooling or encoder.pooling
    if options.pooling is None and pooling is not None:
        _say(place.name, [f"pooling '{pooling}', as its folder says; --pooling chooses"], console)
    if pooling is None:
        pooling, sentence = better_pooling(encoder.model, encoder.tokenizer, data.tasks(), max_length=data.max_length)
        _say(place.name, [sentence], console)
    encoder.model.config.pooling = pooling
    _allow_pairs(encoder.model)
    save_encoder(encoder, place)


def _allow_pairs(model: FlexiBERTModel) -> None:
    """Of an encoder with one segment makes one with two equal ones: the second text of a pair is of the second."""
    embeddings: Any = model.embeddings
    table = embeddings.token_type_embeddings
    if table.num_embeddings == 1:
        both = torch.nn.Embedding(2, table.embedding_dim)
        both.load_state_dict({"weight": table.weight.detach().repeat(2, 1)})
        embeddings.token_type_embeddings = both
        model.config.type_vocab_size = 2


def _say(name: str, sentences: Sequence[str], console: Console) -> None:
    for sentence in sentences:
        console.print(f"{name}: {sentence}", highlight=False, soft_wrap=True)


def _check(configs: Mapping[str, FlexiBERTConfig], data: DataOptions) -> None:
    (reference, first), *others = configs.items()
    needed, positions = max(data.max_length, data.pretrain_length), first.max_position_embeddings
    problems = []
    if needed > positions:
        problems.append(
            f"'max_length' and 'pretrain_length' must be at most the {positions} positions of {reference}. Got {needed}"
        )
    seen = {first.model_spec.hash: reference}
    for name, config in others:
        different = [key for key in SHARED[:5] if getattr(config, key) != getattr(first, key)]
        if different:
            found = ", ".join(f"'{key}' {getattr(config, key)}" for key in different)
            problems.append(f"{name} must be like {reference} in {', '.join(different)}. Got {found}")
        if config.model_spec.hash in seen:
            problems.append(f"{name} has the architecture of {seen[config.model_spec.hash]}: start from one of them")
        seen.setdefault(config.model_spec.hash, name)
    if problems:
        raise ValueError("\n  - ".join(["Problems in 'start_from':", *problems]))
