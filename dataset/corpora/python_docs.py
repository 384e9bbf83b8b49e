"""The embedded default: a corpus and a task of real English that is already on the machine, Python's own documentation.

The task ``python_docs``: which part of the library does this passage of one to three sentences come from? The five
parts follow the chapters of the library reference. A module belongs to exactly one of train, validation and test by a
hash of its name, which does not depend on the machine or on the other modules; the corpus leaves out the modules of
validation and test, and any sentence that they hold. So a model that is pre-trained here has never seen what it is
tested on.
"""

import hashlib
from collections.abc import Iterable

import datasets as hf_datasets

from ..task import SPLITS, Task, make_split
from .docstrings import help_topics, module_docstrings, passages, sentences, standard_modules

EMBEDDED_TASK = "python_docs"

CHAPTERS = {
    "data types and mathematics": (
        "_collections_abc _pydecimal _strptime bisect calendar codecs collections colorsys copy datetime "
        "difflib enum fractions functools graphlib heapq numbers operator pprint random re reprlib statistics "
        "string struct textwrap zoneinfo"
    ),
    "internet and markup": (
        "base64 cgi email ftplib html http imaplib ipaddress json mailbox mailcap mimetypes netrc nntplib "
        "nturl2path poplib quopri smtpd smtplib socket socketserver ssl telnetlib urllib uu webbrowser "
        "wsgiref xml xmlrpc"
    ),
    "files and formats": (
        "_compression _pyio bz2 configparser csv dbm filecmp fileinput fnmatch genericpath glob gzip io "
        "linecache lzma ntpath pathlib pickle plistlib posixpath shelve shutil stat tarfile tempfile tomllib "
        "zipfile"
    ),
    "concurrent execution": (
        "_threading_local asyncio concurrent multiprocessing queue sched selectors subprocess threading"
    ),
    "development tools": (
        "ast bdb cProfile code codeop compileall dis doctest imp importlib inspect modulefinder pdb "
        "pickletools pkgutil profile pstats py_compile pyclbr pydoc rlcompleter runpy symtable tabnanny "
        "timeit token tokenize trace traceback typing unittest warnings zipapp zipimport"
    ),
}
WORDS = 32  # a passage is closed at this length
MOST_PER_MODULE = 200
MOST_PER_CLASS = {"train": 800, "validation": 120, "test": 120}
SPLIT_SHARES = {"test": 14, "validation": 14}  # per cent of modules, roughly; the rest is train
SPLIT_SALT = "33"  # chosen once so that every class has enough of each split; scores were not looked at


def python_docs_task() -> Task:
    """The embedded classification task; deterministic, a few seconds (cache what is made of it).

    Raises:
        ValueError: when this Python came without the sources of its library.
    """
    held_out: set[str] = set()  # sentences of the splits done so far
    tables: dict[str, hf_datasets.Dataset] = {}
    for split in reversed(SPLITS):  # a text that two splits share stays where it is tested
        examples: dict[str, int] = {}
        fresh: set[str] = set()
        for label, chapter in enumerate(CHAPTERS):
            texts = [text for text in _chapter_passages(chapter, split) if not held_out.intersection(sentences(text))]
            chosen = _in_hash_order(text for text in texts if text not in examples)[: MOST_PER_CLASS[split]]
            examples.update(dict.fromkeys(chosen, label))
            fresh.update(sentence for text in texts for sentence in sentences(text))
        held_out |= fresh
        order = _in_hash_order(examples)
        tables[split] = make_split({"text": order, "label": [examples[text] for text in order]}, is_regression=False)
    return Task(name=EMBEDDED_TASK, label_names=tuple(CHAPTERS), metric="accuracy", **tables)


def python_docs_corpus() -> hf_datasets.Dataset:
    """The embedded corpus, column ``text``: a document per docstring and help topic, none of validation or test.

    Raises:
        ValueError: when this Python came without the sources of its library.
    """
    held_out: set[str] = set()
    documents: list[str] = list(help_topics())
    for module in standard_modules():
        if _chapter_of(module) is None or split_of(module) == "train":
            documents += module_docstrings(module)
        else:
            held_out.update(sentence for text in module_docstrings(module) for sentence in sentences(text))
    kept = (" ".join(sentence for sentence in sentences(text) if sentence not in held_out) for text in documents)
    return hf_datasets.Dataset.from_dict({"text": list(dict.fromkeys(filter(None, kept)))})


def split_of(module: str) -> str:
    """The split that a module's text belongs to: ``train``, ``validation`` or ``test``."""
    bucket = int.from_bytes(hashlib.sha256(f"{SPLIT_SALT}{module}".encode()).digest()[:8], "big") % 100
    for split, share in SPLIT_SHARES.items():
        if bucket < share:
            return split
        bucket -= share
    return "train"


def _chapter_of(module: str) -> str | None:
    top = module.partition(".")[0]
    return next((chapter for chapter, names in CHAPTERS.items() if top in names.split()), None)


def _chapter_passages(chapter: str, split: str) -> list[str]:
    """Passages of a chapter's modules in a split, no more than ``MOST_PER_MODULE`` of each."""
    found: list[str] = []
    for module in standard_modules():
        if _chapter_of(module) == chapter and split_of(module) == split:
            pieces = [piece for text in module_docstrings(module) for piece in passages(text, words=WORDS)]
            found += _in_hash_order(pieces)[:MOST_PER_MODULE]
    return found


def _in_hash_order(texts: Iterable[str]) -> list[str]:
    """Distinct texts in an order that looks random and is the same everywhere."""
    return sorted(dict.fromkeys(texts), key=lambda text: hashlib.sha256(text.encode()).digest())
