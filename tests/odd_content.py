"""Sound content made odd: one value in it replaced, removed or repeated, for tests that a reader ends in a message."""

import copy
import random
from collections.abc import Iterator
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, "", "x", "nan", 0, -1, 7, 0.5, 1e300, float("nan"), float("inf"), 10**13, 10**30),
    *([], [None], [[[1]]], {}, {"x": 1}, [10**9], ["x"] * 3, {"groups": [{"groups": []}]}),
)


def odd_contents(content: Any, number: int, *, seed: int = 0) -> Iterator[Any]:
    """So many copies of JSON content, each with one oddity."""
    rng = random.Random(seed)
    for _ in range(number):
        made = copy.deepcopy(content)
        holder, key = rng.choice(list(_places(made)))
        action = rng.randrange(6)
        if action == 0:
            del holder[key]
        elif action == 1 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif action == 2 and isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(rng.choice(ODD_VALUES))
        yield made


def odd_texts(text: str, number: int, *, seed: int = 0) -> Iterator[str]:
    """So many copies of a text, each cut, with a letter changed, or with a line lost, doubled or moved."""
    rng = random.Random(seed)
    for _ in range(number):
        place = rng.randrange(len(text))
        lines = text.splitlines(keepends=True)
        line = rng.randrange(len(lines))
        action = rng.randrange(5)
        if action == 0:
            yield text[:place]
        elif action == 1:
            yield text[:place] + rng.choice('{}[]":,0a-\x00é\n') + text[place + 1 :]
        elif action == 2:
            yield "".join(lines[:line] + lines[line + 1 :])
        elif action == 3:
            yield "".join(lines[: line + 1] + lines[line:])
        else:
            yield "".join([*lines[line:], *lines[:line]])


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(content) if isinstance(content, dict) else range(len(content))
    for key in keys:
        yield content, key
        if isinstance(content[key], dict | list) and content[key]:
            yield from _places(content[key])
