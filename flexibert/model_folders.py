"""What the commands on model folders share: loading, writing whole or not at all, the summary."""

import shutil
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from .bert import from_bert
from .convert_bert import TOKENIZER_FILES, load
from .text_loss import hide_tokens, masked_lm_loss, text_blocks


def load_model(folder: Path) -> Any:
    """The model in a folder, of FlexiBERT or BERT; a BERT is converted.

    Raises:
        ValueError: when there is none, or it cannot be read.
    """
    model, is_bert = load(folder.resolve())
    return from_bert(model) if is_bert else model


def check_target(target: Path) -> None:
    """Raises ``ValueError`` when the folder exists; to be asked before long work."""
    if target.exists():
        raise ValueError(f"{target.resolve()}: exists already; name a folder that does not")


def save_model(model: Any, target: Path, tokenizer_from: Path) -> None:
    """Write the model, and the tokenizer of another folder, to ``target``: whole or not at all.

    Raises:
        ValueError: when ``target`` exists.
    """
    target = target.resolve()
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".flexibert-") as temporary:
        folder = Path(temporary) / "model"
        model.save_pretrained(folder)
        for name in TOKENIZER_FILES:
            if (tokenizer_from / name).exists():
                shutil.copy2(tokenizer_from / name, folder / name)
        folder.rename(target)


def add_text_arguments(parser: ArgumentParser) -> None:
    """The flags that say on which text the loss is measured."""
    parser.add_argument("--text", type=Path, default=None, help="text file to measure the masked-LM loss on")
    parser.add_argument("--text_blocks", type=int, default=64, help="blocks of the text that are read")
    parser.add_argument("--block_length", type=int, default=128, help="tokens per block")


def text_inputs(arguments: Namespace, folder: Path, max_length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks of ``--text`` with hidden tokens, and labels, by the tokenizer in ``folder``: (N, S) each.

    Raises:
        ValueError: when the folder has no tokenizer with a mask token, or the text is too short.
    """
    if not any((folder / name).exists() for name in TOKENIZER_FILES):
        raise ValueError(f"{folder}: holds no tokenizer, which --text needs; leave --text out or add it")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.mask_token_id is None:
        raise ValueError(f"{folder}: its tokenizer has no mask token, which --text needs")
    blocks = text_blocks(arguments.text, tokenizer, min(arguments.block_length, max_length), arguments.text_blocks)
    return hide_tokens(blocks, tokenizer.mask_token_id, tokenizer.all_special_ids)


def print_summary(models: Mapping[str, Any], arguments: Namespace, folder: Path, **figures: str) -> None:
    """A line per model with its parameters and, with ``--text``, its masked-LM loss; then the other figures.

    Args:
        models: name -> model, in the order to print.
        folder: with the tokenizer.
    """
    first = next(iter(models.values()))
    inputs = None
    if arguments.text is not None:
        inputs = text_inputs(arguments, folder, first.config.max_position_embeddings)
    for name, model in models.items():
        line = f"{name:12} {model.num_parameters():>12,} parameters, {model.config.num_hidden_layers} layers"
        if inputs is not None:
            has_words = getattr(model, "cls", None) is not None and type(model).__name__ == "FlexiBERTForMaskedLM"
            loss = f"{masked_lm_loss(model, *inputs, progress=name):.4f}" if has_words else "none (no masked-LM head)"
            line += f", masked-LM loss {loss}"
        print(line)
    for name, text in figures.items():
        print(f"{name:12} {text}")
