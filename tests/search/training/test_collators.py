"""Masked batches: how many tokens are hidden, which, and whether they are the same again."""

import numpy as np
import pytest
import torch

from dataset import build_tokenizer
from search.training.collators import MaskedBlocks, measure_input

TEXTS = ["an unbelievably long tokenization of incomprehensible words, and then some more of them"] * 20


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer("train", [*TEXTS, "a b c d e f g"], vocab_size=320)


def _blocks(tokenizer, num: int = 64, length: int = 32) -> list[dict[str, list[int]]]:
    ids = [token for text in TEXTS for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
    starts = np.random.default_rng(0).integers(0, len(ids) - length, num)
    return [
        {"input_ids": [tokenizer.cls_token_id, *ids[start : start + length - 2], tokenizer.sep_token_id]}
        for start in starts
    ]


def test_a_share_of_the_tokens_is_hidden_and_never_a_special_one(tokenizer):
    torch.manual_seed(0)
    blocks = _blocks(tokenizer)
    batch = MaskedBlocks(tokenizer, share=0.3)(blocks)
    hidden = batch["labels"] != -100
    original = torch.tensor([block["input_ids"] for block in blocks])
    assert hidden[:, 1:-1].float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert not hidden[:, [0, -1]].any()
    assert torch.equal(batch["labels"][hidden], original[hidden])
    assert torch.equal(batch["input_ids"][~hidden], original[~hidden])
    replaced = (batch["input_ids"][hidden] == tokenizer.mask_token_id).float().mean().item()
    assert replaced == pytest.approx(0.8, abs=0.05)


def test_with_a_seed_the_masks_are_the_same_in_every_pass(tokenizer):
    blocks = _blocks(tokenizer, num=8)
    first, again = (MaskedBlocks(tokenizer, seed=5) for _ in range(2))
    assert torch.equal(first(blocks)["input_ids"], again(blocks)["input_ids"])
    other = MaskedBlocks(tokenizer, seed=6)
    assert not torch.equal(MaskedBlocks(tokenizer, seed=5)(blocks)["input_ids"], other(blocks)["input_ids"])


@pytest.mark.parametrize("kind", ["byte-level", "word-piece"])
def test_whole_words_are_hidden_or_shown_with_all_their_pieces(tokenizer, kind, tmp_path):
    if kind == "word-piece":
        pieces = [
            "[PAD]",
            "[UNK]",
            "[CLS]",
            "[SEP]",
            "[MASK]",
            *"abcdefghijklmnopqrstuvwxyz,",
            *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
            "a",  # once more: the largest id is above the number of tokens
        ]
        (tmp_path / "vocab.txt").write_text("\n".join(pieces))
        tokenizer = build_tokenizer(str(tmp_path / "vocab.txt"))
    torch.manual_seed(1)
    blocks = _blocks(tokenizer)
    batch = MaskedBlocks(tokenizer, share=0.2, whole_words=True)(blocks)
    hidden = (batch["labels"] != -100).numpy()
    of_words = []
    for row, block in zip(hidden, blocks, strict=True):
        tokens = tokenizer.convert_ids_to_tokens(block["input_ids"])[1:-1]
        begins = [not token.startswith("##") if kind == "word-piece" else token.startswith("Ġ") for token in tokens]
        words = np.cumsum(begins)
        for word in set(words):
            of_words.append(set(row[1:-1][words == word]))
    assert all(len(states) == 1 for states in of_words)
    assert np.mean([row.any() and not row[1:-1].all() for row in hidden]) > 0.4  # a block has several words
    assert np.mean([True in states for states in of_words]) == pytest.approx(0.2, abs=0.05)
    assert (batch["input_ids"].numpy()[hidden] == tokenizer.mask_token_id).all()


def test_padding_is_counted_and_the_random_state_is_left_alone():
    batches = [{"attention_mask": torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]])}]
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)

    def loader():
        torch.rand(5)
        yield from batches

    figures = measure_input(loader())
    assert figures.padding_share == pytest.approx(3 / 8)
    assert figures.tokens_per_s > 0
    assert torch.equal(torch.rand(1), expected)
