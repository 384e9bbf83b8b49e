"""Vocabulary trimming: a tokenizer without the tokens that none of given texts uses (Abdaoui et al. 2020).

What stays beside the used tokens: added and special ones, and all single characters and bytes, so that words of other
texts fall back to smaller pieces. Given texts are split as before, whatever the algorithm:

- WordPiece takes the longest match; a token that was never taken can be missing.
- BPE applies the first of its merges that fits, again and again. Those that lead to a kept token stay, and with them
  their two parts; a merge that was never applied can be missing.
- Unigram takes the path of highest score, and removal leaves fewer paths. What an unknown character costs follows from
  the lowest score, so the token that has it stays.

One case is outside of this: a word that was unknown although shorter matches would have led to its end.
"""

import itertools
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

State = dict[str, Any]  # the content of a tokenizer.json

_TEXTS = 1000  # split at a time
_ALGORITHMS = ("WordPiece", "BPE", "Unigram")
_WORD_START = "▁"  # in place of the blank before a word
_BYTE = re.compile("<0x[0-9A-F]{2}>")


def trimmed_tokenizer(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], *, least_count: int = 1
) -> tuple[PreTrainedTokenizerBase, list[int]]:
    """The tokenizer with the part of its vocabulary that texts need.

    Args:
        tokenizer: a fast one of WordPiece, BPE or Unigram; it is not changed.
        texts: read once, one after the other.
        least_count: tokens that the texts use less often go, too. Above 1 these texts are split otherwise where they
            have such tokens.

    Returns:
        A tokenizer of the same class, and for each of its ids, 0 to n - 1, the id of that token in ``tokenizer``. The
        order of tokens is kept.

    Raises:
        ValueError: for another kind of tokenizer, or a ``least_count`` below 1.
    """
    if least_count < 1:
        raise ValueError(f"'least_count' must be 1 or more. Got {least_count}")
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(
            f"'tokenizer' must be a fast one to be trimmed, with a tokenizer.json. Got {type(tokenizer).__name__}"
        )
    state: State = json.loads(tokenizer.backend_tokenizer.to_str())
    algorithm = state["model"]["type"]
    if algorithm not in _ALGORITHMS:
        raise ValueError(f"'tokenizer' must be of {', '.join(_ALGORITHMS)} to be trimmed. Got {algorithm}")
    counts = _counts(tokenizer, texts)
    used = {number for number, count in counts.items() if count >= least_count}
    old_ids = _kept(state, used)
    _renumber(state, old_ids)
    smaller = _rebuilt(tokenizer, state)
    names = {number: token for token, number in tokenizer.get_vocab().items()}
    if smaller.get_vocab() != {names[old]: new for new, old in enumerate(old_ids)}:
        raise ValueError(
            f"'tokenizer' must be of a class that takes any vocabulary. Got {type(tokenizer).__name__}, whose tokens "
            "stand elsewhere when it is made of fewer"
        )
    return smaller, old_ids


def _counts(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> Counter[int]:
    """How often each id stands in the texts."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    backend.encode_special_tokens = tokenizer.split_special_tokens
    counts: Counter[int] = Counter()
    rest = iter(texts)
    while batch := list(itertools.islice(rest, _TEXTS)):
        for encoding in backend.encode_batch_fast(batch, add_special_tokens=False):
            counts.update(encoding.ids)
    return counts


def _kept(state: State, used: set[int]) -> list[int]:
    """The ids that stay, in order; those of added tokens that the model's vocabulary has not come last."""
    model = state["model"]
    entries = list(_entries(model))
    kept = used | {holder[key] for holder, key in _references(state)}
    kept |= {number for number, token in entries if _is_smallest(token, model)}
    if model["type"] == "Unigram":
        scores = [score for _, score in model["vocab"]]
        kept.add(scores.index(min(scores)))
    if model["type"] == "BPE":
        kept |= _parts(model, kept)
    inside = [number for number, _ in entries if number in kept]
    outside = {token["id"] for token in state["added_tokens"]} - set(inside)
    return [*inside, *sorted(outside)]


def _entries(model: State) -> Iterable[tuple[int, str]]:
    """The ids and tokens of a model's vocabulary, by id."""
    if isinstance(model["vocab"], list):
        return enumerate(token for token, _ in model["vocab"])
    return sorted((number, token) for token, number in model["vocab"].items())


def _references(state: State) -> Iterator[tuple[Any, Any]]:
    """Where ids stand outside of the vocabulary: a dict or list, and the key or place in it."""
    yield from ((token, "id") for token in state["added_tokens"])
    if state["padding"] is not None:
        yield state["padding"], "pad_id"
    if state["model"].get("unk_id") is not None:
        yield state["model"], "unk_id"
    for processor in _processors(state["post_processor"]):
        if processor["type"] == "TemplateProcessing":
            for special in processor["special_tokens"].values():
                yield from ((special["ids"], place) for place in range(len(special["ids"])))
        elif processor["type"] in ("BertProcessing", "RobertaProcessing"):
            yield from ((processor[name], 1) for name in ("cls", "sep"))


def _processors(processor: State | None) -> Iterator[State]:
    if processor is None:
        return
    yield processor
    for part in processor.get("processors", ()):
        yield from _processors(part)


def _is_smallest(token: str, model: State) -> bool:
    """Whether a token is a single character or byte, at the start, inside or at the end of a word; or stands for what
    is unknown."""
    prefix, suffix = (model.get(name) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix"))
    letters = token.removeprefix(prefix).removeprefix(_WORD_START).removesuffix(suffix)
    return len(letters) <= 1 or bool(_BYTE.fullmatch(token)) or token == model.get("unk_token")


def _parts(model: State, kept: set[int]) -> set[int]:
    """The ids that merges make the kept ones of, and those that they make these of."""
    ids = model["vocab"]
    parts: dict[int, set[int]] = {}
    for left, right in model["merges"]:
        parts.setdefault(ids[_merged(model, left, right)], set()).update((ids[left], ids[right]))
    found: set[int] = set()
    waiting = list(kept)
    while waiting:
        new = parts.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _merged(model: State, left: str, right: str) -> str:
    return left + right.removeprefix(model["continuing_subword_prefix"] or "")


def _renumber(state: State, old_ids: list[int]) -> None:
    """Leave the kept ids, by their new numbers."""
    model = state["model"]
    new_ids = {old: new for new, old in enumerate(old_ids)}
    for holder, key in _references(state):
        holder[key] = new_ids[holder[key]]
    if isinstance(model["vocab"], list):
        model["vocab"] = [entry for number, entry in enumerate(model["vocab"]) if number in new_ids]
    else:
        model["vocab"] = {token: new_ids[number] for number, token in _entries(model) if number in new_ids}
    if model["type"] == "BPE":
        model["merges"] = [pair for pair in model["merges"] if _merged(model, *pair) in model["vocab"]]


def _rebuilt(tokenizer: PreTrainedTokenizerFast, state: State) -> PreTrainedTokenizerBase:
    """A tokenizer of the same class and settings: what it is saved as, with another tokenizer.json, and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        (Path(folder) / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
        smaller: PreTrainedTokenizerBase = type(tokenizer).from_pretrained(folder)
    smaller.name_or_path = tokenizer.name_or_path
    return smaller
