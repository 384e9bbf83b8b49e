"""More texts like those of a task, without labels: copies in which some words are exchanged.

A model that learns from a teacher can learn from any text. That texts made from those at hand help a small one, Jiao et
al. 2020 (TinyBERT) found; where they ask a language model for likely words, here words are drawn from all texts.
"""

import random
import re

import datasets as hf_datasets

from .noticed import texts_of
from .task import Task

_EXCHANGED = 0.15
_WORD = re.compile(r"\S+")


def altered_copies(task: Task, copies: int, *, seed: int) -> hf_datasets.Dataset:
    """``copies`` of each training text of a task of whole texts, as a task has them (``text``, ``text_pair``), in each
    of which about one word of seven is exchanged for one of the training texts, drawn as often as it comes there.
    Words are what spaces part.
    """
    generator = random.Random(seed)
    columns = texts_of(task.train)
    words = [word for texts in columns for text in texts for word in text.split()]

    def altered(text: str) -> str:
        return _WORD.sub(lambda word: generator.choice(words) if generator.random() < _EXCHANGED else word[0], text)

    names = ("text", "text_pair")[: len(columns)]
    made = ([altered(text) for _ in range(copies) for text in texts] for texts in columns)
    return hf_datasets.Dataset.from_dict(dict(zip(names, made, strict=True)))
