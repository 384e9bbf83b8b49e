"""What the card of an exported model says to who has nothing else: what it does, how to ask it, how fast it is."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..runtimes.latency import Latency

MOST_LABELS = 20
"""Labels that are named."""

_DOES = {
    "classes": "Gives a text, or two texts of a pair, one label of {labels}.",
    "several": "Gives a text, or two texts of a pair, any of the labels {labels}.",
    "numbers": "Gives a text, or two texts of a pair, a number.",
    "words": "Gives each word of a text (what stands between blanks) one label of {labels}.",
    "answers": "Finds the answer to a question in a context.",
    "choices": "Picks the answer to a question among choices.",
}
_EXAMPLES = {"answers": "who wrote it\tit was written by Ada", "choices": "is it good\tyes\tno"}


class Timed(NamedTuple):
    """How long one batch takes in PyTorch and in ONNX Runtime, in turn, on one thread."""

    torch: Latency
    onnx: Latency


def example_of(about: Mapping[str, Any]) -> str:
    """A line that a model of this task can answer."""
    return _EXAMPLES.get(about["task"], "a text")


def what_it_does(about: Mapping[str, Any]) -> str:
    """A paragraph: the task, its labels, and what becomes of long and of short texts.

    Args:
        about: the content of ``export.json``.
    """
    labels = ", ".join(f"`{label}`" for label in about["labels"][:MOST_LABELS])
    if further := about["labels"][MOST_LABELS:]:
        labels += f" and {len(further)} more, which `export.json` lists"
    padded = about["padded_length"]
    length = f"Texts are cut at {about['max_length']:,} tokens" + (f", and padded to {padded:,}." if padded else ".")
    return f"A text model in ONNX, which runs without PyTorch. {_DOES[about['task']].format(labels=labels)} {length}"


def command_of(about: Mapping[str, Any], program: str = "predict.py") -> str:
    """A command line that asks the model."""
    return f"printf '{example_of(about)}\\n' | python {program}".replace("\t", r"\t")


def how_to_ask(about: Mapping[str, Any], answer: str) -> str:
    """The programs and what they take and give, with the answer to ``example_of`` as it was given."""
    return f"""```sh
pip install -r requirements.txt   # numpy, onnxruntime, tokenizers; nothing else is needed
{command_of(about)}
python serve.py                   # the same over HTTP; --help says how
docker build -t my-model .        # and in a container
```

The second line prints `{answer}`. `predict.py` takes texts as arguments, or one on each line of its input, and answers
each with a line of JSON. Texts that belong together (a pair, a question and its context or choices) stand on one line
with tabs between them. In Python: `from predict import Predictor`, then `Predictor()("a text")`.

Other programs give `model.onnx` the `input_ids`, `attention_mask` and, where it has them, `token_type_ids` that
`tokenizer.json` makes, of any batch size and length; it returns logits. The `ORTModel` classes of `optimum` load the
folder; for them `config.json` names BERT, a family that they know and that takes the same inputs."""


def times_table(times: Sequence[Timed]) -> str:
    """What was measured, and where."""
    rows = [
        f"| {of_torch.batch_size} x {of_torch.length} | {of_torch.median_ms:.2f} / {of_torch.p95_ms:.2f} "
        f"| {of_file.median_ms:.2f} / {of_file.p95_ms:.2f} | {of_file.times_as_fast_as(of_torch):.1f} |"
        for of_torch, of_file in times
    ]
    heading = (
        "Milliseconds on one thread of the machine that exported the model, the median / what 95 of 100 runs take at "
        f"most, in turn{load_of(times)}:"
    )
    table = "| texts x tokens | PyTorch | `model.onnx` | times as fast |\n| --- | --- | --- | --- |\n"
    return f"{heading}\n\n{table}" + "\n".join(rows)


def load_of(times: Sequence[Timed]) -> str:
    """How busy the machine was, where it tells, to go on a sentence about times."""
    load, cores = times[0].torch.load, os.cpu_count() or 1
    if load is None:
        return ""
    warning = ": too busy for more than a rough idea" if load > cores else ""
    return f", at a load of {load:.1f} on {cores} cores{warning}"
