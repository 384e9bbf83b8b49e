"""What the commands on model folders share: loading, writing whole or not at all, the summary."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from design_space.options import NO_SWITCH, Count, Place, Positive, Whole, flag, options

from ..conversion.families import from_transformers
from ..conversion.folders import TOKENIZER_FILES, load, new_folder
from ..conversion.origin import keep_origin, origin_of
from ..model.heads import WordPredictor
from ..morphisms.block_retraining import Training
from .masked_lm_loss import hide_tokens, masked_lm_loss, text_blocks

TextInputs = tuple[torch.Tensor, torch.Tensor] | None


def load_model(folder: Path) -> Any:
    """The model in a folder of FlexiBERT, BERT or another known family; the others are converted.

    Raises:
        ValueError: when there is none, or it cannot be read.
    """
    model, family, config = load(folder.resolve())
    if family is None:
        return model
    converted = from_transformers(model)
    keep_origin(converted, origin_of(folder.resolve(), config))
    return converted


def save_model(model: Any, target: Path, tokenizer_from: Path) -> None:
    """Write the model, and the tokenizer of another folder, to ``target``: whole or not at all.

    Raises:
        ValueError: when ``target`` exists.
    """
    with new_folder(model, target, tokenizer_from=tokenizer_from):
        pass


@options
class LossOptions:
    """On which text the loss is measured."""

    text: Place | None = None
    """Text file to measure the masked-LM loss on."""
    text_share: Annotated[float, Field(gt=0, le=1), NO_SWITCH] = 0.1
    """Share of the text that is used, from its start."""
    block_length: Annotated[Count | None, flag(unit="tokens")] = None
    """Tokens per block; 128 at most when not given."""


def text_inputs(options: LossOptions, folder: Path, max_length: int) -> TextInputs:
    """Blocks of ``--text`` with hidden tokens, and labels, by the tokenizer in ``folder``: (N, S) each; or None.

    Raises:
        ValueError: when the folder has no tokenizer with a mask token, or the text is too short.
    """
    if options.text is None:
        return None
    tokenizer = _tokenizer(folder, "--text")
    blocks = text_blocks(options.text, tokenizer, _block_length(options.block_length, max_length))
    blocks = blocks[: max(1, round(options.text_share * len(blocks)))]
    return hide_tokens(blocks, tokenizer.mask_token_id, tokenizer.all_special_ids)


@options
class LearningOptions:
    """From what and for how long blocks learn, and what they are compared with."""

    train_text: Place
    """Text file to learn from."""
    steps: Count = Training.steps
    """Batches to learn from, per block."""
    batch_size: Count = 32
    """Text blocks per batch."""
    learning_rate: Positive = Training.learning_rate
    """Learning rate of Adam."""
    num_heads: Whole | None = None
    """Heads of a new block; the teacher's when not given."""
    head_size: Whole | None = None
    """Size of these heads; the teacher's when not given."""
    seed: Whole = 0
    """Seed of first weights and of the order of texts."""
    larger: Place | None = None
    """Folder of a larger model to show the loss of too."""


def training_inputs(
    options: LearningOptions, block_length: int | None, folder: Path, max_length: int
) -> tuple[list[torch.Tensor], Training]:
    """Batches of ``--train_text`` in random order, and how to train on them."""
    tokenizer = _tokenizer(folder, "--train_text")
    blocks = text_blocks(options.train_text, tokenizer, _block_length(block_length, max_length))
    order = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(options.seed))
    training = Training(steps=options.steps, learning_rate=options.learning_rate, seed=options.seed, progress=True)
    return list(blocks[order].split(options.batch_size)), training


def _block_length(given: int | None, max_length: int) -> int:
    length = min(128, max_length) if given is None else given
    if length > max_length:
        raise ValueError(f"'--block_length' must be at most the model's longest sequence, {max_length}. Got {length}")
    return length


def load_larger(folder: Path | None, teacher: Any, teacher_folder: Path) -> dict[str, Any]:
    """The model of ``--larger``, by that name, where it is given.

    Raises:
        ValueError: when its vocabulary is not the teacher's, by number or by the tokenizers' words.
    """
    if folder is None:
        return {}
    larger = load_model(folder)
    if larger.config.vocab_size != teacher.config.vocab_size:
        sizes = f"{larger.config.vocab_size} and {teacher.config.vocab_size}"
        raise ValueError(f"{folder}: must have the teacher's vocabulary. Got {sizes} tokens")
    check_tokenizers(teacher_folder, folder)
    return {"larger": larger}


def check_tokenizers(first: Path, second: Path) -> None:
    """Raises ``ValueError`` when both folders hold a tokenizer and a token is one word here and another there."""
    ours, theirs = words_of(first), words_of(second)
    if ours is None or theirs is None:
        return
    differing = next((number for number in sorted(ours | theirs) if ours.get(number) != theirs.get(number)), None)
    if differing is not None:
        raise ValueError(
            f"{second}: its tokenizer must have the words of the one in {first}. Token {differing} is "
            f"{theirs.get(differing)!r} here and {ours.get(differing)!r} there"
        )


def _tokenizer(folder: Path, flag: str) -> PreTrainedTokenizerBase:
    if not any((folder / name).exists() for name in TOKENIZER_FILES):
        raise ValueError(f"{folder}: holds no tokenizer, which {flag} needs")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.mask_token_id is None:
        raise ValueError(f"{folder}: its tokenizer has no mask token, which {flag} needs")
    return tokenizer


def words_of(folder: Path) -> dict[int, str] | None:
    """The words of a folder's tokenizer by number; None where it holds none."""
    if (folder / "tokenizer.json").exists() or (folder / "vocab.json").exists():
        return {number: word for word, number in AutoTokenizer.from_pretrained(folder).get_vocab().items()}
    if (folder / "vocab.txt").exists():  # alone, it is no tokenizer to ``AutoTokenizer``
        return dict(enumerate((folder / "vocab.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")))
    return None


def summary(models: Mapping[str, Any], inputs: TextInputs, **figures: str) -> str:
    """A line per model with its parameters and, with a text, its masked-LM loss; then the other figures. To be asked
    before anything is written.

    Args:
        models: name -> model, in the order to print.
        inputs: of ``text_inputs``.

    Raises:
        ValueError: when no token of the text is hidden.
    """
    lines = []
    for name, model in models.items():
        line = f"{name:12} {model.num_parameters():>12,} parameters, {model.config.num_hidden_layers} layers"
        if inputs is not None:
            is_masked_lm = isinstance(model, WordPredictor)
            loss = (
                f"{masked_lm_loss(model, *inputs, progress=name):.4f}" if is_masked_lm else "none (no masked-LM head)"
            )
            line += f", masked-LM loss {loss}"
        lines.append(line)
    return "\n".join([*lines, *(f"{name:12} {text}" for name, text in figures.items())])
