"""Trimmed tokenizers of every algorithm split the texts they were trimmed to as before, and know all characters."""

import json
import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    BertTokenizer,
    ByT5Tokenizer,
    CamembertTokenizer,
    DistilBertTokenizer,
    ElectraTokenizer,
    MPNetTokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from dataset import build_tokenizer, trimmed_tokenizer
from dataset.tokenizer import SPECIAL_TOKENS

LETTERS = string.ascii_lowercase[:8] + "é"
ODD = ["", " ", "zebra", "日本 語", "abc 😀 def", "fée!?", "a[SEP]b <s> [MASK] </s>", "A\tB\nc", "a" * 120]


def sentences(seed: int, count: int) -> list[str]:
    """Sentences of words that begin and end alike, for tokens to be shared."""
    rng = random.Random(seed)
    parts = ["".join(rng.choices(LETTERS, k=rng.randint(1, 3))) for _ in range(30)]
    words = ["".join(rng.choices(parts, k=rng.randint(1, 3))) for _ in range(40)]
    return [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(count)]


COUNTED, OTHERS = sentences(0, 60), sentences(1, 60) + ODD
EVERY_WORD = sorted({word for text in COUNTED + OTHERS[:60] for word in text.split()})


def pieces() -> list[str]:
    """Beginnings and ends of words, and words, in a random order."""
    cuts = {
        part for word in EVERY_WORD for place in range(1, len(word)) for part in (word[:place], f"##{word[place:]}")
    }
    found = sorted(cuts | set(EVERY_WORD) - {*LETTERS, *(f"##{letter}" for letter in LETTERS)})
    return random.Random(2).sample(found, len(found) * 2 // 3)


def word_piece(tokenizer_class: Any = BertTokenizer, specials: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    first = specials or ("[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokens = [*first, *LETTERS, *(f"##{letter}" for letter in LETTERS), "e", "##e", *pieces()]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return tokenizer_class(vocabulary, strip_accents=False, model_max_length=20)


def mpnet() -> PreTrainedTokenizerFast:
    return word_piece(MPNetTokenizer, ("<s>", "<pad>", "</s>", "<mask>", "[UNK]"))


def with_added_tokens() -> PreTrainedTokenizerFast:
    """Tokens that the model's own vocabulary has not."""
    tokenizer = word_piece()
    tokenizer.add_tokens(["abcabc", AddedToken("zebra", single_word=True)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["[E1]", "[E2]"]})
    return tokenizer


def byte_level() -> PreTrainedTokenizerFast:
    return build_tokenizer("train", COUNTED + OTHERS, vocab_size=420)


def roberta() -> PreTrainedTokenizerFast:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator(COUNTED + OTHERS, trainer)
    model = json.loads(trained.to_str())["model"]
    vocabulary = model["vocab"] | {"<mask>": len(model["vocab"])}
    return RobertaTokenizer(vocabulary, [tuple(pair) for pair in model["merges"]], model_max_length=20)


def unigram(tokenizer_class: Any = XLMRobertaTokenizer, specials: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    rng = random.Random(3)
    inner = [piece.removeprefix("##") for piece in pieces()]
    marked = ["▁", *LETTERS, "e", *inner, *(f"▁{word}" for word in [*LETTERS, *EVERY_WORD])]
    first = [(token, 0.0) for token in specials or ("<s>", "<pad>", "</s>", "<unk>")]
    scored = [(token, -2.0 - len(token) - 4 * rng.random()) for token in dict.fromkeys(marked)]
    return tokenizer_class(vocab=first + scored, model_max_length=20)


def camembert() -> PreTrainedTokenizerFast:
    return unigram(CamembertTokenizer, ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"))


def plain(model: Any, before: Any, after: Any, processor: Any) -> PreTrainedTokenizerFast:
    """A tokenizer without a class of its own, whose own tokens have the last ids."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.decoder = before, after
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processor(*ends)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL_TOKENS)


def plain_word_piece() -> PreTrainedTokenizerFast:
    tokens = [*LETTERS, *(f"##{letter}" for letter in LETTERS), "e", "##e", *pieces(), *SPECIAL_TOKENS.values()]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    model = models.WordPiece(vocabulary, unk_token="[UNK]")
    return plain(model, pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(), processors.BertProcessing)


def plain_byte_level() -> PreTrainedTokenizerFast:
    model = json.loads(byte_level().backend_tokenizer.to_str())["model"]
    tokens = [*(token for token in model["vocab"] if token not in SPECIAL_TOKENS.values()), *SPECIAL_TOKENS.values()]
    merges = [tuple(pair) for pair in model["merges"]]
    bpe = models.BPE({token: number for number, token in enumerate(tokens)}, merges)
    return plain(bpe, pre_tokenizers.ByteLevel(), decoders.ByteLevel(), processors.RobertaProcessing)


def plain_unigram() -> PreTrainedTokenizerFast:
    vocabulary = json.loads(unigram().backend_tokenizer.to_str())["model"]["vocab"][4:]
    model = models.Unigram(
        [*map(tuple, vocabulary), *((token, 0.0) for token in SPECIAL_TOKENS.values())], len(vocabulary) + 1
    )

    def processor(*ends: tuple[str, int]) -> Any:
        template = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=list(ends)
        )
        return processors.Sequence([processors.ByteLevel(trim_offsets=False), template])

    return plain(model, pre_tokenizers.Metaspace(), decoders.Metaspace(), processor)


MAKERS = {
    "bert": word_piece,
    "distilbert": lambda: word_piece(DistilBertTokenizer),
    "electra": lambda: word_piece(ElectraTokenizer),
    "mpnet": mpnet,
    "added tokens": with_added_tokens,
    "byte level": byte_level,
    "roberta": roberta,
    "xlm-roberta": unigram,
    "camembert": camembert,
    "plain word piece": plain_word_piece,
    "plain byte level": plain_byte_level,
    "plain unigram": plain_unigram,
}


@pytest.fixture(params=MAKERS, scope="module")
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return MAKERS[request.param]()


def tokens_of(tokenizer: Any, *texts: str, **options: Any) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(*texts, **options)["input_ids"])


def assert_same(whole: Any, small: Any, old_ids: list[int], texts: list[str]) -> None:
    for text in texts:
        assert tokens_of(small, text) == tokens_of(whole, text), text
        assert [old_ids[number] for number in small(text)["input_ids"]] == whole(text)["input_ids"]


def test_counted_texts_are_split_as_before(tokenizer: PreTrainedTokenizerFast) -> None:
    before = tokenizer.backend_tokenizer.to_str()
    small, old_ids = trimmed_tokenizer(tokenizer, iter(COUNTED))
    assert len(small) == len(old_ids) < len(tokenizer)
    assert_same(tokenizer, small, old_ids, COUNTED)
    assert tokenizer.backend_tokenizer.to_str() == before
    with_odd, old_ids = trimmed_tokenizer(tokenizer, COUNTED + ODD)
    assert_same(tokenizer, with_odd, old_ids, COUNTED + ODD)


def test_ids_have_no_holes_and_keep_their_order(tokenizer: PreTrainedTokenizerFast) -> None:
    small, old_ids = trimmed_tokenizer(tokenizer, COUNTED)
    assert sorted(small.get_vocab().values()) == list(range(len(small)))
    assert old_ids == sorted(old_ids)
    assert small.convert_ids_to_tokens(range(len(small))) == tokenizer.convert_ids_to_tokens(old_ids)
    assert type(small) is type(tokenizer)
    assert small.special_tokens_map == tokenizer.special_tokens_map
    assert [old_ids[number] for number in small.all_special_ids] == tokenizer.all_special_ids
    assert {old_ids[number]: token for number, token in small.added_tokens_decoder.items()} == (
        tokenizer.added_tokens_decoder
    )
    assert small.model_max_length == tokenizer.model_max_length
    assert small.name_or_path == tokenizer.name_or_path


def test_other_texts_are_split_into_smaller_pieces_and_no_more_is_unknown(tokenizer: PreTrainedTokenizerFast) -> None:
    small, _ = trimmed_tokenizer(tokenizer, COUNTED)
    longer = 0
    for text in OTHERS:
        before, after = tokens_of(tokenizer, text), tokens_of(small, text)
        assert after.count(small.unk_token) == before.count(tokenizer.unk_token), text
        assert small.decode(small(text)["input_ids"]) == tokenizer.decode(tokenizer(text)["input_ids"])
        longer += len(after) > len(before)
    assert longer > 10


def test_pairs_padding_and_truncation_are_the_same_and_survive_being_saved(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    small, old_ids = trimmed_tokenizer(tokenizer, COUNTED)
    small.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    calls: list[Callable[[Any], Any]] = [
        lambda each: each(COUNTED[:5], COUNTED[5:10], padding=True),
        lambda each: each(COUNTED[0], COUNTED[1], truncation=True, max_length=9),
        lambda each: each(COUNTED[:3], padding="max_length", max_length=30, truncation=True),
        lambda each: each("", ""),
        lambda each: each(COUNTED[0], add_special_tokens=False),
    ]
    for call in calls:
        expected, found, again = call(tokenizer), call(small), call(loaded)
        assert found.keys() == expected.keys()
        assert dict(found) == dict(again)
        rows = found["input_ids"] if isinstance(found["input_ids"][0], list) else [found["input_ids"]]
        wanted = expected["input_ids"] if isinstance(expected["input_ids"][0], list) else [expected["input_ids"]]
        assert [[old_ids[number] for number in row] for row in rows] == wanted
        for name in expected.keys() - {"input_ids"}:
            assert found[name] == expected[name]
    assert loaded.get_vocab() == small.get_vocab()
    assert [dict(loaded(text)) for text in OTHERS] == [dict(small(text)) for text in OTHERS]


def test_without_texts_the_alphabet_stays(tokenizer: PreTrainedTokenizerFast) -> None:
    small, _ = trimmed_tokenizer(tokenizer, [])
    kept = small.get_vocab()
    marks = [mark for mark in ("", "##", "▁") if f"{mark}a" in tokenizer.get_vocab()]
    letters = [mark + letter for mark in marks for letter in LETTERS.replace("é", "")]
    assert set(letters) <= kept.keys()
    assert small.decode(small("bad cafe", add_special_tokens=False)["input_ids"]).strip() == "bad cafe"
    assert set(tokenizer.all_special_tokens) <= kept.keys()


def test_rare_tokens_go_when_told(tokenizer: PreTrainedTokenizerFast) -> None:
    once, twice, often = (trimmed_tokenizer(tokenizer, COUNTED, least_count=count)[0] for count in (1, 2, 30))
    assert len(once) >= len(twice) > len(often)
    assert twice.get_vocab().keys() <= once.get_vocab().keys()


@pytest.mark.parametrize("make", [byte_level, roberta])
def test_every_token_of_merges_can_still_be_reached(make: Callable[[], PreTrainedTokenizerFast]) -> None:
    whole = make()
    small, _ = trimmed_tokenizer(whole, COUNTED)
    alone = {token: whole.backend_tokenizer.model.tokenize(token) for token in small.get_vocab()}
    reachable = [token for token, found in alone.items() if len(found) == 1]
    assert len(reachable) > 300
    for token in reachable:
        assert [each.value for each in small.backend_tokenizer.model.tokenize(token)] == [token]


def test_what_unknown_characters_cost_stays() -> None:
    """``cy`` is taken for ``y`` is no token, and to be unknown costs 10 more than the token of lowest score."""
    first = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    scores = {"▁": -1.0, "a": -9.0, "b": -9.0, "c": -9.0, "ab": -12.0, "cy": -12.0, "abc": -1.0, "rare": -20.0}
    whole = XLMRobertaTokenizer(vocab=first + list(scores.items()))
    small, old_ids = trimmed_tokenizer(whole, ["abcy"])
    assert tokens_of(whole, "abcy") == ["<s>", "▁", "ab", "cy", "</s>"] == tokens_of(small, "abcy")
    assert "rare" in small.get_vocab()
    assert "abc" not in small.get_vocab()
    assert len(old_ids) == len(whole) - 1


def test_padding_and_truncation_that_a_tokenizer_was_saved_with_are_kept() -> None:
    """And texts are counted whole."""
    whole = plain_word_piece()
    whole.backend_tokenizer.enable_truncation(6)
    whole.backend_tokenizer.enable_padding(length=9, pad_id=whole.pad_token_id, pad_token=whole.pad_token)
    small, old_ids = trimmed_tokenizer(whole, [" ".join(COUNTED)])
    assert small.backend_tokenizer.truncation == whole.backend_tokenizer.truncation
    assert small.backend_tokenizer.padding == whole.backend_tokenizer.padding | {"pad_id": small.pad_token_id}
    for text in COUNTED:
        expected, found = whole.backend_tokenizer.encode(text).ids, small.backend_tokenizer.encode(text).ids
        assert [old_ids[number] for number in found] == expected
    assert_same(whole, small, old_ids, COUNTED)


def test_a_word_that_was_unknown_may_become_known() -> None:
    """A known limit: the longest match led nowhere, and a shorter one does not."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "ab", "##bc"]
    whole = BertTokenizer({token: number for number, token in enumerate(tokens)})
    small, _ = trimmed_tokenizer(whole, ["abc", "aabc"])
    assert tokens_of(whole, "abc aabc")[1:-1] == ["[UNK]", "a", "##a", "##bc"]
    assert tokens_of(small, "abc aabc")[1:-1] == ["a", "##bc", "a", "##a", "##bc"]


class FixedTokenizer(BertTokenizer):
    """One that makes its own vocabulary."""

    def __init__(self, vocab: Any = None, **options: Any) -> None:
        super().__init__({token: number for number, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ab"])})


def words_only() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (word_piece, {"least_count": 0}, "'least_count' must be 1 or more. Got 0"),
        (ByT5Tokenizer, {}, "'tokenizer' must be a fast one to be trimmed, with a tokenizer.json. Got ByT5Tokenizer"),
        (words_only, {}, "'tokenizer' must be of WordPiece, BPE, Unigram to be trimmed. Got WordLevel"),
        (FixedTokenizer, {}, "must be of a class that takes any vocabulary. Got FixedTokenizer"),
    ],
    ids=["count", "slow", "whole words", "fixed"],
)
def test_what_cannot_be_trimmed_is_refused(make: Callable[[], Any], options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trimmed_tokenizer(make(), ["a"], **options)


@pytest.mark.parametrize("name", ["bert-base-uncased", "roberta"])
def test_real_vocabularies_split_a_task_as_before(name: str, shared_data: Path) -> None:
    whole = build_tokenizer(str(shared_data / "vocab" / name))
    rows = (shared_data / "glue" / "MRPC" / "train.tsv").read_text(encoding="utf-8-sig").splitlines()[1:1200]
    texts = [text for row in rows for text in row.split("\t")[3:5]]
    counted, others = texts[:1600], texts[1600:]
    small, old_ids = trimmed_tokenizer(whole, counted)
    assert len(small) < len(whole) / 3
    encoded = small(counted)["input_ids"]
    assert [[old_ids[number] for number in row] for row in encoded] == whole(counted)["input_ids"]
    for text in [*others, *ODD]:
        assert small.decode(small(text)["input_ids"]) == whole.decode(whole(text)["input_ids"])
