"""Answers of the model in this folder about texts; needs onnxruntime and tokenizers alone.

    python predict.py "a fine film" ...            or one text a line on standard input

Two texts of a pair, a question and its context, or a question and its choices stand on one line with tabs between them.
Each text is answered on a line of JSON: {"label": ..., "score": ...}, the score from 0 to 1; of a model of numbers the
label is the number, and there is no score. Models of several labels and of words (those between
blanks) give a list of these.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

FOLDER = Path(__file__).resolve().parent


class Predictor:
    """The model, ready to answer.

    Args:
        folder: with what ``python -m flexibert export`` wrote.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._about = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(self._about["max_length"])
        self._tokenizer.no_padding()
        if length := self._about["padded_length"]:
            self._tokenizer.enable_padding(length=length, pad_id=self._about["pad_token_id"])
        self._session = onnxruntime.InferenceSession(folder / self._about["file"], providers=["CPUExecutionProvider"])
        self._answer = getattr(self, f"_{self._about['task']}")

    def __call__(self, text: str) -> dict[str, Any]:
        """What the model says about one text, or texts with tabs between them.

        Raises:
            ValueError: for another number of texts than the model takes.
        """
        return self._answer(text.split("\t"))

    def _classes(self, texts: list[str]) -> dict[str, Any]:
        return self._best(_softmax(self._logits(self._encoded(texts))[0][0]))

    def _numbers(self, texts: list[str]) -> dict[str, Any]:
        return {"label": float(self._logits(self._encoded(texts))[0][0, 0])}

    def _several(self, texts: list[str]) -> dict[str, Any]:
        shares = 1 / (1 + np.exp(-self._logits(self._encoded(texts))[0][0]))
        return {
            "labels": [_answer(self._about["labels"][place], shares[place]) for place in np.flatnonzero(shares > 0.5)]
        }

    def _words(self, texts: list[str]) -> dict[str, Any]:
        words = " ".join(texts).split()
        encoding, found = self._tokenizer.encode(words, is_pretokenized=True), dict[int, dict[str, Any]]()
        for word, shares in zip(encoding.word_ids, _softmax(self._logits(encoding)[0][0]), strict=True):
            if word is not None and word not in found:  # the first piece speaks for the word
                found[word] = {"word": words[word], **self._best(shares)}
        return {"words": list(found.values())}

    def _answers(self, texts: list[str]) -> dict[str, Any]:
        encoding = self._encoded(texts, 2)
        begins, ends = (_softmax(logits[0]) for logits in self._logits(encoding))
        in_context = np.array([sequence == 1 for sequence in encoding.sequence_ids])
        joint = np.triu(np.outer(begins * in_context, ends * in_context))
        begin, end = np.unravel_index(joint.argmax(), joint.shape)
        answer = texts[1][encoding.offsets[begin][0] : encoding.offsets[end][1]]
        return _answer(answer, joint[begin, end])

    def _choices(self, texts: list[str]) -> dict[str, Any]:
        question, *choices = texts
        if not choices:
            raise ValueError("A question and its choices must stand on one line, with tabs between them")
        encodings = [self._tokenizer.encode(question, choice) for choice in choices]
        length = max(map(len, encodings))
        for encoding in encodings:
            encoding.pad(length, pad_id=self._about["pad_token_id"])
        shares = _softmax(self._run(np.array([[_columns(one) for one in encodings]]))[0][0])
        return _answer(choices[int(shares.argmax())], shares.max())

    def _encoded(self, texts: list[str], count: int | None = None) -> Encoding:
        if len(texts) > 2 or (count is not None and len(texts) != count):
            raise ValueError(f"A line must hold {count or '1 or 2'} texts, with tabs between them. Got {len(texts)}")
        return self._tokenizer.encode(texts[0], texts[1] if texts[1:] else None)

    def _logits(self, encoding: Encoding) -> list[Any]:
        return self._run(np.array([_columns(encoding)]))

    def _run(self, columns: Any) -> list[Any]:
        """Outputs for ids, mask and segments: (1, 3, length), or (1, choices, 3, length)."""
        names = ("input_ids", "attention_mask", "token_type_ids")
        inputs = dict(zip(names, np.moveaxis(columns, -2, 0), strict=True))
        return self._session.run(None, {each.name: inputs[each.name] for each in self._session.get_inputs()})

    def _best(self, shares: Any) -> dict[str, Any]:
        return _answer(self._about["labels"][int(shares.argmax())], shares.max())


def _columns(encoding: Encoding) -> list[list[int]]:
    return [encoding.ids, encoding.attention_mask, encoding.type_ids]


def _answer(label: str, score: Any) -> dict[str, Any]:
    return {"label": label, "score": round(float(score), 6)}


def _softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _lines(arguments: list[str], stream: Iterable[str]) -> Iterator[str]:
    return iter(arguments) if arguments else (line.rstrip("\r\n") for line in stream)


def main() -> None:
    """Answer what is asked, line by line."""
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return
    predictor = Predictor()
    try:
        for text in _lines(sys.argv[1:], sys.stdin):
            print(json.dumps(predictor(text), ensure_ascii=False), flush=True)
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
