"""What the commands on model folders share: loading, writing whole or not at all, the summary."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from design_space.command import positive

from ..conversion.bert import from_bert
from ..convert_bert import TOKENIZER_FILES, load, new_folder
from ..convert_bert import check_target as check_target
from ..model.heads import WordPredictor
from ..morphisms.block_retraining import Training
from .masked_lm_loss import hide_tokens, masked_lm_loss, text_blocks

TextInputs = tuple[torch.Tensor, torch.Tensor] | None


def load_model(folder: Path) -> Any:
    """The model in a folder, of FlexiBERT or BERT; a BERT is converted.

    Raises:
        ValueError: when there is none, or it cannot be read.
    """
    model, is_bert = load(folder.resolve())
    return from_bert(model) if is_bert else model


def save_model(model: Any, target: Path, tokenizer_from: Path) -> None:
    """Write the model, and the tokenizer of another folder, to ``target``: whole or not at all.

    Raises:
        ValueError: when ``target`` exists.
    """
    with new_folder(model, target, tokenizer_from=tokenizer_from):
        pass


def seed(text: str) -> int:
    """The type of ``--seed``: what ``torch.manual_seed`` takes."""
    digits = text.removeprefix("-")
    if not digits.isdecimal() or not -(2**63) <= int(text) < 2**63:
        raise ArgumentTypeError(f"must be a whole number from -2^63 to 2^63 - 1. Got {text}")
    return int(text)


def add_text_arguments(parser: ArgumentParser) -> None:
    """The flags that say on which text the loss is measured."""
    parser.add_argument("--text", type=Path, default=None, help="text file to measure the masked-LM loss on")
    parser.add_argument("--text_share", type=float, default=0.1, help="share of the text that is used, from its start")
    parser.add_argument("--block_length", type=positive, default=None, help="tokens per block; default: 128 at most")


def text_inputs(arguments: Namespace, folder: Path, max_length: int) -> TextInputs:
    """Blocks of ``--text`` with hidden tokens, and labels, by the tokenizer in ``folder``: (N, S) each; or None.

    Raises:
        ValueError: when the folder has no tokenizer with a mask token, the text is too short, or the share is not in
            (0, 1].
    """
    if arguments.text is None:
        return None
    if not 0 < arguments.text_share <= 1:
        raise ValueError(f"'--text_share' must be above 0 and at most 1. Got {arguments.text_share}")
    tokenizer = _tokenizer(folder, "--text")
    blocks = text_blocks(arguments.text, tokenizer, _block_length(arguments, max_length))
    blocks = blocks[: max(1, round(arguments.text_share * len(blocks)))]
    return hide_tokens(blocks, tokenizer.mask_token_id, tokenizer.all_special_ids)


def add_training_arguments(parser: ArgumentParser) -> None:
    """The flags that say from what and for how long blocks learn."""
    parser.add_argument("--train_text", type=Path, required=True, help="text file to learn from")
    parser.add_argument("--steps", type=int, default=Training.steps, help="batches to learn from, per block")
    parser.add_argument("--batch_size", type=positive, default=32, help="text blocks per batch")
    parser.add_argument("--learning_rate", type=float, default=Training.learning_rate, help="of Adam")
    parser.add_argument("--num_heads", type=int, default=None, help="heads of a new block; default: the teacher's")
    parser.add_argument("--head_size", type=int, default=None, help="their size; default: the teacher's")
    parser.add_argument("--seed", type=seed, default=0, help="of first weights and of the order of texts")
    parser.add_argument("--larger", type=Path, default=None, help="folder of a larger model to show the loss of too")


def training_inputs(arguments: Namespace, folder: Path, max_length: int) -> tuple[list[torch.Tensor], Training]:
    """Batches of ``--train_text`` in random order, and how to train on them."""
    tokenizer = _tokenizer(folder, "--train_text")
    blocks = text_blocks(arguments.train_text, tokenizer, _block_length(arguments, max_length))
    order = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(arguments.seed))
    training = Training(
        steps=arguments.steps, learning_rate=arguments.learning_rate, seed=arguments.seed, progress=True
    )
    return list(blocks[order].split(arguments.batch_size)), training


def _block_length(arguments: Namespace, max_length: int) -> int:
    length = min(128, max_length) if arguments.block_length is None else int(arguments.block_length)
    if length > max_length:
        raise ValueError(f"'--block_length' must be at most the model's longest sequence, {max_length}. Got {length}")
    return length


def load_larger(arguments: Namespace, teacher: Any) -> dict[str, Any]:
    """The model of ``--larger``, by that name, where it is given.

    Raises:
        ValueError: when its vocabulary is not the teacher's, by number or by the tokenizers' words.
    """
    if arguments.larger is None:
        return {}
    larger = load_model(arguments.larger)
    if larger.config.vocab_size != teacher.config.vocab_size:
        sizes = f"{larger.config.vocab_size} and {teacher.config.vocab_size}"
        raise ValueError(f"{arguments.larger}: must have the teacher's vocabulary. Got {sizes} tokens")
    check_tokenizers(arguments.source, arguments.larger)
    return {"larger": larger}


def check_tokenizers(first: Path, second: Path) -> None:
    """Raises ``ValueError`` when both folders hold a tokenizer and a token is one word here and another there."""
    ours, theirs = _words(first), _words(second)
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


def _words(folder: Path) -> dict[int, str] | None:
    """The words of a folder's tokenizer by number; None where it holds none."""
    if (folder / "tokenizer.json").exists() or (folder / "vocab.json").exists():
        return {number: word for word, number in AutoTokenizer.from_pretrained(folder).get_vocab().items()}
    if (folder / "vocab.txt").exists():  # alone, it is no tokenizer to ``AutoTokenizer``
        return dict(enumerate((folder / "vocab.txt").read_text(encoding="utf-8").splitlines()))
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
