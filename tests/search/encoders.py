"""A tiny BERT in a folder, as others publish one, and a table that it can learn."""

import csv
import random
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "fine", "bad", "poor", "film", "the", "a", "is", "was")


def write_bert(folder: Path, *, seed: int = 0, **options: int) -> Path:
    """A masked-LM BERT of 3 layers with random weights, and its tokenizer."""
    torch.manual_seed(seed)
    letters = [f"{mark}{letter}" for mark in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz"]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys([*WORDS, *letters]))}
    shape = {"num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    sizes = {"vocab_size": len(vocabulary), "max_position_embeddings": 40}
    config = BertConfig(**(sizes | shape | options))
    BertForMaskedLM(config).save_pretrained(folder)
    BertTokenizer(vocabulary).save_pretrained(folder)
    return folder


def write_reviews(file: Path, rows: int = 160) -> Path:
    """A table whose label one of the words tells."""
    rng = random.Random(0)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "verdict"])
        for number in range(rows):
            word = rng.choice(("good", "fine") if number % 2 else ("bad", "poor"))
            filler = [rng.choice(("the", "a", "film", "is", "was")) for _ in range(rng.randint(3, 9))]
            place = rng.randrange(len(filler))
            writer.writerow([" ".join([*filler[:place], word, *filler[place:]]), "yes" if number % 2 else "no"])
    return file
