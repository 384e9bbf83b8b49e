"""Answers of the model in this folder about texts; needs onnxruntime and tokenizers alone.

    python predict.py "a fine film" ...            or one text a line on standard input

Two texts of a pair, a question and its context, or a question and its choices stand on one line with tabs between them.
Each text is answered on a line of JSON: {"label": ..., "score": ...}, the score from 0 to 1; of a model of numbers the
label is the number, and there is no score; of one of questions that may have no answer it is empty where there is none.
Models of several labels and of words (those between blanks) give a list of these.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import numpy as np
    from tokenizers import Encoding, Tokenizer
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    print(f"{error}: pip install -r requirements.txt", file=sys.stderr)
    sys.exit(2)

FOLDER = Path(__file__).resolve().parent
_BATCH = 16
"""Most texts of one run."""

_MOST_ANSWER_TOKENS = 30
"""As where models of questions are measured."""

Run = Callable[[Mapping[str, Any]], Sequence[Any]]
"""Takes ids, mask and segments by name, (B, S) each, or (B, choices, S); gives logits."""


class Predictor:
    """The model, ready to answer.

    Args:
        folder: with what ``python -m flexibert export`` wrote.
        about: what its ``export.json`` says.
        run: what runs the model in place of its ONNX file.
    """

    def __init__(
        self, folder: Path = FOLDER, *, about: Mapping[str, Any] | None = None, run: Run | None = None
    ) -> None:
        self._about = about or json.loads((folder / "export.json").read_text(encoding="utf-8"))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(self._about["max_length"])
        self._tokenizer.no_padding()
        if length := self._about["padded_length"]:
            self._tokenizer.enable_padding(length=length, pad_id=self._about["pad_token_id"])
        self._run = run or _onnx(folder / self._about["file"])
        self._answer = getattr(self, f"_{self._about['task']}")

    def __call__(self, text: str) -> dict[str, Any]:
        """What the model says about one text, or texts with tabs between them.

        Raises:
            ValueError: for another number of texts than the model takes.
        """
        return self.batch([text])[0]

    def batch(self, lines: Sequence[str]) -> list[dict[str, Any]]:
        """What it says about each of several lines, which run together. Numbers of 8 bits are scaled by all texts of a
        run, so that there scores depend a little on which these are.

        Raises:
            ValueError: as for one, with the number of the line where there are several.
        """
        texts, encodings = [line.split("\t") for line in lines], list[list[Encoding]]()
        for number, each in enumerate(texts, start=1):
            try:
                "".join(each).encode()  # halves of characters are errors here, and of another kind in the tokenizer
                encodings.append(self._encoded(each))
            except ValueError as error:
                raise ValueError(f"Line {number}: {error}" if len(lines) > 1 else str(error)) from None
        together = 1 if self._about["task"] == "choices" else _BATCH
        answers = []
        for start in range(0, len(lines), together):
            piece = slice(start, start + together)
            outputs = self._logits(encodings[piece])
            answers += [self._answer(*one) for one in zip(texts[piece], encodings[piece], *outputs, strict=True)]
        return answers

    def _classes(self, texts: list[str], encodings: list[Encoding], logits: Any) -> dict[str, Any]:
        return self._best(_softmax(logits))

    def _numbers(self, texts: list[str], encodings: list[Encoding], logits: Any) -> dict[str, Any]:
        return {"label": float(logits[0])}

    def _several(self, texts: list[str], encodings: list[Encoding], logits: Any) -> dict[str, Any]:
        shares = 1 / (1 + np.exp(-logits))
        return {
            "labels": [_answer(self._about["labels"][place], shares[place]) for place in np.flatnonzero(shares > 0.5)]
        }

    def _words(self, texts: list[str], encodings: list[Encoding], logits: Any) -> dict[str, Any]:
        words, found = " ".join(texts).split(), dict[int, dict[str, Any]]()
        word_of_char = [number for number, word in enumerate(words) for _ in range(len(word) + 1)]
        places = encodings[0].offsets
        for (start, end), shares in zip(places, _softmax(logits[: len(places)]), strict=True):
            word = word_of_char[end - 1] if end > start else -1  # some tokens begin with the blank before
            if word >= 0 and word not in found:  # the first piece speaks for the word
                found[word] = {"word": words[word], **self._best(shares)}
        return {"words": list(found.values())}

    def _answers(self, texts: list[str], encodings: list[Encoding], begins: Any, ends: Any) -> dict[str, Any]:
        [encoding] = encodings
        begins, ends = (_softmax(logits[: len(encoding)]) for logits in (begins, ends))
        in_context = np.array([sequence == 1 for sequence in encoding.sequence_ids])
        joint = np.tril(np.triu(np.outer(begins * in_context, ends * in_context)), _MOST_ANSWER_TOKENS - 1)
        begin, end = np.unravel_index(joint.argmax(), joint.shape)
        nothing = begins[0] * ends[0]  # what points at the first token says that there is no answer
        if self._about.get("may_lack_answers") and nothing >= joint[begin, end]:
            return _answer("", nothing)
        answer = texts[1][encoding.offsets[begin][0] : encoding.offsets[end][1]]
        return _answer(answer.strip(), joint[begin, end])

    def _choices(self, texts: list[str], encodings: list[Encoding], logits: Any) -> dict[str, Any]:
        shares = _softmax(logits)
        return _answer(texts[1:][int(shares.argmax())], shares.max())

    def _encoded(self, texts: list[str]) -> list[Encoding]:
        """Of the texts of one line: one, or one for each choice."""
        task = self._about["task"]
        if task == "words":
            return [self._tokenizer.encode(" ".join(" ".join(texts).split()))]
        if task == "choices":
            if len(texts) < 2:
                raise ValueError("A question and its choices must stand on one line, with tabs between them")
            return [self._tokenizer.encode(texts[0], choice) for choice in texts[1:]]
        allowed = (2,) if task == "answers" else (1, 2)
        if len(texts) not in allowed:
            raise ValueError(
                f"A line must hold {' or '.join(map(str, allowed))} texts, with tabs between them. Got {len(texts)}"
            )
        return [self._tokenizer.encode(texts[0], texts[1] if texts[1:] else None)]

    def _logits(self, encodings: list[list[Encoding]]) -> Sequence[Any]:
        """Of some lines together, (B, ...) each."""
        length = max(len(one) for line in encodings for one in line)
        columns = np.array([[_columns(one, length, self._about["pad_token_id"]) for one in line] for line in encodings])
        if self._about["task"] != "choices":
            columns = columns[:, 0]
        names = ("input_ids", "attention_mask", "token_type_ids")
        return self._run(dict(zip(names, np.moveaxis(columns, -2, 0), strict=True)))

    def _best(self, shares: Any) -> dict[str, Any]:
        return _answer(self._about["labels"][int(shares.argmax())], shares.max())


def _onnx(file: Path) -> Run:
    import onnxruntime  # not where something else runs the model

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda inputs: session.run(None, {name: inputs[name] for name in names})


def _columns(encoding: Encoding, length: int, pad_id: int) -> list[list[int]]:
    """Ids, mask and segments, padded."""
    added = length - len(encoding)
    return [encoding.ids + [pad_id] * added, encoding.attention_mask + [0] * added, encoding.type_ids + [0] * added]


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
    try:
        predictor = Predictor()
        if not sys.argv[1:] and sys.stdin.isatty():
            print("One text a line; Ctrl-D ends", file=sys.stderr)
        for text in _lines(sys.argv[1:], sys.stdin):
            print(json.dumps(predictor(text), ensure_ascii=False), flush=True)
    except ModuleNotFoundError as error:
        print(f"{error}: pip install -r requirements.txt", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
