"""What ``predict.py`` makes of a model's outputs is what is made of them where the model is trained and measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from flexibert.export.predict import Predictor

LENGTH = 64
CONTEXT = "it was written by Ada in London " * 3


@pytest.fixture
def tokenizer(tmp_path: Path) -> PreTrainedTokenizerFast:
    """Byte-level, as RoBERTa's: a word has other pieces at the start of a text than behind a blank."""
    own = Tokenizer(models.BPE())
    own.pre_tokenizer, own.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=["<pad>", "<s>", "</s>"], vocab_size=300, initial_alphabet=letters)
    own.train_from_iterator([CONTEXT, "who wrote it"], trainer)
    own.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1), add_prefix_space=False)
    made = PreTrainedTokenizerFast(tokenizer_object=own, pad_token="<pad>", model_max_length=LENGTH)
    made.save_pretrained(tmp_path)
    return made


@pytest.fixture
def answer(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The answer to a line of a model with such outputs for it."""

    def answered(line: str, *outputs: Any, **about: Any) -> dict[str, Any]:
        known = {"max_length": LENGTH, "padded_length": None, "pad_token_id": 0, "labels": ["small", "large"]}
        return Predictor(tmp_path, about=known | about, run=lambda _: [np.asarray([one]) for one in outputs])(line)

    return answered


def test_words_are_cut_into_pieces_as_in_training(tokenizer: PreTrainedTokenizerFast, answer: Callable) -> None:
    datasets = pytest.importorskip("datasets", reason="tags are read by the extra 'search'")
    from dataset.kinds.token_classification import encode_tags

    words = CONTEXT.split()
    is_large = [int(word[0].isupper()) for word in words]
    [row] = encode_tags(datasets.Dataset.from_dict({"tokens": [words], "tags": [is_large]}), tokenizer, LENGTH)
    logits = [(0.0, 0.0) if label < 0 else (1.0 - label, float(label)) for label in row["labels"]]
    found = answer("  ".join(words), logits, task="words")["words"]
    assert [one["word"] for one in found] == words
    assert [one["label"] for one in found] == [("small", "large")[large] for large in is_large]
    assert answer("", [(0.0, 0.0)] * 2, task="words") == {"words": []}


def test_a_question_may_have_no_answer(tokenizer: PreTrainedTokenizerFast, answer: Callable) -> None:
    question = "who wrote it"
    encoded = tokenizer(question, CONTEXT, return_offsets_mapping=True)
    context = [place for place, side in enumerate(encoded.sequence_ids()) if side == 1]
    begins, ends = np.zeros((2, len(context) + context[0] + 1))
    begins[0] = ends[0] = 2.0
    begins[context[1]], ends[context[2]] = 1.5, 1.5
    (first, _), (_, last) = (encoded["offset_mapping"][place] for place in context[1:3])
    asked = f"{question}\t{CONTEXT}"
    assert answer(asked, begins, ends, task="answers")["label"] == CONTEXT[first:last]
    assert answer(asked, begins, ends, task="answers", may_lack_answers=False)["label"] == CONTEXT[first:last]
    assert answer(asked, begins, ends, task="answers", may_lack_answers=True)["label"] == ""
    begins[context[1]] = 3.0
    assert answer(asked, begins, ends, task="answers", may_lack_answers=True)["label"] == CONTEXT[first:last]


def test_an_answer_is_no_longer_than_in_training(tokenizer: PreTrainedTokenizerFast, answer: Callable) -> None:
    question_answering = pytest.importorskip("dataset.kinds.question_answering", reason="needs the extra 'search'")
    long = "a b " * 25
    encoded = tokenizer("who", long, return_offsets_mapping=True)
    context = [place for place, side in enumerate(encoded.sequence_ids()) if side == 1]
    assert len(context) > question_answering.MOST_ANSWER_TOKENS
    begins, ends = np.zeros((2, len(encoded["input_ids"])))
    begins[context[0]] = ends[context[-1]] = 5.0
    found = answer(f"who\t{long}", begins, ends, task="answers")["label"]
    assert 0 < len(tokenizer(found, add_special_tokens=False)["input_ids"]) <= question_answering.MOST_ANSWER_TOKENS
