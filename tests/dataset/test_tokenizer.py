"""Tokenizers of every source give sentences between their own tokens, and survive being saved."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from dataset import build_tokenizer
from dataset.tokenizer import vocabulary_size

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["The quick brown fox jumps over the lazy dog.", "A dog and a fox are quick."] * 5


def test_a_trained_tokenizer_knows_its_words_and_marks_sentences(tmp_path):
    tokenizer = build_tokenizer("train", TEXTS, vocab_size=400)
    ids = tokenizer("The quick FOX", "the dog", return_token_type_ids=True)
    tokens = tokenizer.convert_ids_to_tokens(ids["input_ids"])
    assert [token.replace("Ġ", "") for token in tokens] == [
        "[CLS]",
        "the",
        "quick",
        "fox",
        "[SEP]",
        "the",
        "dog",
        "[SEP]",
    ]
    assert ids["token_type_ids"] == [0] * 5 + [1] * 3
    assert tokenizer.decode(ids["input_ids"][1:4]).strip() == "the quick fox"
    assert len(tokenizer) <= 400
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)("The quick FOX")["input_ids"] == ids["input_ids"][:5]
    assert build_tokenizer(str(tmp_path))("a fox")["input_ids"] == tokenizer("a fox")["input_ids"]


def test_training_is_the_same_in_every_process(embedded_corpus):
    texts = embedded_corpus["text"][:300]
    code = (
        "import json, sys; from dataset import build_tokenizer\n"
        "print(json.dumps(build_tokenizer('train', json.load(sys.stdin), vocab_size=900).get_vocab()))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "2"},
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    here = build_tokenizer("train", texts, vocab_size=900).get_vocab()
    assert json.loads(other.stdout) == here
    assert "Ġthe" in here


def test_the_original_vocabularies_are_read(shared):
    bert = build_tokenizer(str(shared / "data/vocab/bert-base-uncased/vocab.txt"))
    assert len(bert) == 30_522
    assert bert("Hello world")["input_ids"] == [101, 7592, 2088, 102]
    assert build_tokenizer(str(shared / "data/vocab/bert-base-uncased"))("Hello")["input_ids"] == [101, 7592, 102]
    roberta = build_tokenizer(str(shared / "data/vocab/roberta"))
    assert len(roberta) == 50_265
    assert roberta("Hello world")["input_ids"] == [0, 31414, 232, 2]
    assert roberta.mask_token_id == 50_264


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", TEXTS, 100), "'vocab_size' must be at least 300 .* Got 100"),
        (("train", None, 400), "Give both"),
        (("/nowhere/vocabulary", None, None), "'tokenizer' must be 'train', a vocab.txt, a folder with a tokenizer"),
    ],
    ids=["small", "no text", "missing"],
)
def test_bad_input_is_refused(arguments, message):
    source, texts, size = arguments
    with pytest.raises(ValueError, match=message):
        build_tokenizer(source, texts, vocab_size=size)


def test_a_vocabulary_without_special_tokens_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nword\n")
    with pytest.raises(ValueError, match=r"it lacks \[CLS\], \[SEP\], \[MASK\]"):
        build_tokenizer(str(tmp_path / "vocab.txt"))


@pytest.mark.parametrize("odd", ["\u2028", "\x85", "\x0b", "\x1f", "q1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_number_of_a_line_is_the_id_of_its_token(tmp_path, odd, end):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", odd, "harbour", "zebra"]
    (tmp_path / "vocab.txt").write_bytes((end.join(words) + end).encode())
    tokenizer = build_tokenizer(str(tmp_path / "vocab.txt"))
    assert tokenizer.convert_tokens_to_ids(["harbour", "zebra"]) == [6, 7]
    assert vocabulary_size(tokenizer) == len(tokenizer) == 8


def test_ids_that_no_token_has_count(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "boat", "boat", "zebra"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = build_tokenizer(str(tmp_path / "vocab.txt"))
    assert (len(tokenizer), vocabulary_size(tokenizer)) == (7, 8)
    assert tokenizer("boat zebra")["input_ids"] == [2, 6, 7, 3]


BPE_TOKENS = {token: number for number, token in enumerate(["<pad>", "<unk>", "<s>", "</s>", "<mask>", "a", "b", "ab"])}


def _bpe(folder, vocabulary, merges):
    text = vocabulary if isinstance(vocabulary, str) else json.dumps(vocabulary)
    (folder / "vocab.json").write_text(text)
    (folder / "merges.txt").write_text(merges)
    return str(folder)


@pytest.mark.parametrize("merges", ["#version: 0.2\na b\n", "a b", "#version: 0.2\r\na b\r\n\r\n"])
def test_a_folder_of_byte_level_bpe_is_read(tmp_path, merges):
    tokenizer = build_tokenizer(_bpe(tmp_path, BPE_TOKENS, merges))
    assert tokenizer("abba")["input_ids"] == [2, 7, 6, 5, 3]


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        ('{"<pad>": 0, "<un', "a b", "vocab.json is damaged or cut off (Unterminated string"),
        ([1], "a b", "vocab.json must hold a JSON object. Got [1]"),
        (
            {token: str(number) for token, number in BPE_TOKENS.items()},
            "a b",
            "vocab.json must give every token a whole number from 0. Got '0' of '<pad>'",
        ),
        (BPE_TOKENS | {"b": -1}, "a b", "must give every token a whole number from 0. Got -1 of 'b'"),
        (BPE_TOKENS | {"b": 2**32}, "a b", "must give every token a whole number from 0. Got 4294967296 of 'b'"),
        (BPE_TOKENS | {"b": True}, "a b", "must give every token a whole number from 0. Got True of 'b'"),
        ({"<pad>": 0, "<s>": 1, "</s>": 2}, "a b", "vocab.json lacks <unk>, <mask>"),
        (
            BPE_TOKENS,
            "#version\na b\nab\n",
            "merges.txt, line 3 must hold two tokens of vocab.json with a blank between",
        ),
        (BPE_TOKENS, "a b a\n", "merges.txt, line 1 must hold two tokens of vocab.json with a blank between"),
        (BPE_TOKENS, "a b\na c\n", "whose union is in it too. Got 'a c'"),
        (BPE_TOKENS, "b a\n", "whose union is in it too. Got 'b a'"),
    ],
    ids=["cut", "list", "texts", "below 0", "large", "true", "special", "one", "three", "unknown", "unknown union"],
)
def test_what_is_wrong_in_a_folder_of_byte_level_bpe_is_told(tmp_path, vocabulary, merges, message):
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}/.*{re.escape(message)}[^\n]*$"):
        build_tokenizer(_bpe(tmp_path, vocabulary, merges))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{}", "tokenizer.json is no tokenizer: it lacks added_tokens, model"),
        ("tokenizer.json", "[]", "tokenizer.json must hold a JSON object. Got []"),
        ("tokenizer.json", '{"version"', "tokenizer.json is damaged or cut off (Expecting"),
        ("tokenizer.json", "[" * 100_000, "tokenizer.json is damaged or cut off (it is nested too deeply)"),
        (
            "tokenizer.json",
            '{"added_tokens": [], "model": {"type": "X"}}',
            "tokenizer.json, or a file beside it, is damaged: data did not match any variant",
        ),
        ("tokenizer_config.json", "[]", "tokenizer_config.json must hold a JSON object. Got []"),
        ("tokenizer_config.json", '{"pad_token": 5}', "tokenizer.json, or a file beside it, is damaged: Special token"),
    ],
    ids=["nothing", "list", "cut", "deep", "another", "list beside", "wrong beside"],
)
def test_a_damaged_tokenizer_is_told(tmp_path, name, content, message):
    build_tokenizer("train", TEXTS, vocab_size=300).save_pretrained(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}/{re.escape(message)}[^\n]*$"):
        build_tokenizer(str(tmp_path))
