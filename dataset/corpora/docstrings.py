"""The English that ships with every Python: docstrings of the standard library and the help topics of ``pydoc``.

Sources are read and parsed, never imported (importing a library module may open windows or start servers), so the
text does not depend on the operating system or on which C extensions were built. Left out are tests, examples,
generated tables, and what Linux distributions ship apart (tkinter, idlelib, ...), so that two installations of a
release agree.

This module turns source into clean prose. What is made of the prose (a corpus, a task) is said in ``python_docs``.
"""

import ast
import functools
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

EXCLUDED_MODULES = frozenset(
    "__hello__ __phello__ antigravity distutils encodings ensurepip idlelib lib2to3 pydoc_data sre_compile "
    "sre_constants sre_parse test this tkinter turtle turtledemo venv".split()
)
EXCLUDED_FOLDERS = frozenset({"test", "tests", "__pycache__", "site-packages"})
MINIMUM_WORDS = 6  # a shorter piece of text ("Return the size.") says too little
MOST_SENTENCES = 3
MINIMUM_LETTERS = 0.72  # share of letters and spaces in prose; code, tables and grammars have less

_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_MARKUP = re.compile(
    r":(?:[a-z]+:)?[a-z]+:`~?([^`]*)`|``([^`]*)``|`([^`]*)'|`([^`]*)`|\*\*([^*\s][^*]*)\*\*|(?<!\w)\*([^*\s][^*]*)\*(?!\w)"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]?[A-Z])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|Dr|Mr|No|St)|\b[A-Z])\.$")


@functools.cache
def standard_modules() -> tuple[str, ...]:
    """Dotted names of the modules whose sources are read (``email``, ``email.message``, ...), sorted.

    Raises:
        ValueError: when this Python came without its sources.
    """
    return tuple(sorted(_sources()))


@functools.cache
def module_docstrings(module: str) -> tuple[str, ...]:
    """Every docstring of a module as one line of prose, in the order of the source; repeated ones come once.

    Args:
        module: one of ``standard_modules()``; submodules are modules of their own.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in somebody's source is not our user's problem
        tree = ast.parse(_sources()[module].read_text(encoding="utf-8"))
    prose = (" ".join(paragraphs(docstring)) for docstring in _docstrings(tree))
    return tuple(dict.fromkeys(filter(None, prose)))


@functools.cache
def help_topics() -> tuple[str, ...]:
    """The topics behind ``help("...")``, one line each; a paragraph that several of them share comes once."""
    topics: dict[str, str] = import_module("pydoc_data.topics").topics
    seen: set[str] = set()
    documents = []
    for _, text in sorted(topics.items()):
        fresh = [paragraph for paragraph in paragraphs(text) if paragraph not in seen]
        seen.update(fresh)
        documents.append(" ".join(fresh))
    return tuple(filter(None, documents))


def paragraphs(text: str) -> list[str]:
    """The prose in a docstring, a paragraph a line: examples, code and tables dropped, markup stripped."""
    clean = []
    for block in re.split(r"\n\s*\n", text):
        lines: list[str] = []
        for line in block.splitlines():
            if line.lstrip().startswith((">>>", "... ")):
                break  # the rest of a block that turns into an example is its output
            lines.append(line)
        line = " ".join(_MARKUP.sub(_unmark, " ".join(lines)).split())
        if is_prose(line):
            clean.append(line)
    return clean


def passages(document: str, *, words: int) -> Iterator[str]:
    """Cut one line of prose into pieces of one to three whole sentences.

    Args:
        document: one line of prose.
        words: a piece is closed once it has this many; a single sentence is cut off after three times as many.
    """
    piece: list[str] = []
    num_sentences = 0
    for sentence in sentences(document):
        piece += sentence.split()
        num_sentences += 1
        if len(piece) >= words or num_sentences == MOST_SENTENCES:
            yield from _closed(piece, 3 * words)
            piece, num_sentences = [], 0
    yield from _closed(piece, 3 * words)


def sentences(line: str) -> list[str]:
    """Split a line at sentence ends; an abbreviation such as ``e.g.`` does not end one."""
    found: list[str] = []
    for part in _SENTENCE_END.split(line):
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] += " " + part
        else:
            found.append(part)
    return found


def is_prose(line: str) -> bool:
    """Whether a line is long enough and made of words rather than of code."""
    letters = sum(character.isalpha() or character == " " for character in line)
    return len(line.split()) >= MINIMUM_WORDS and letters >= MINIMUM_LETTERS * len(line)


def _closed(piece: list[str], most_words: int) -> Iterator[str]:
    text = " ".join(piece[:most_words])
    if is_prose(text):
        yield text


def _unmark(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None)


def _docstrings(tree: ast.Module) -> Iterator[str]:
    """Docstrings of a module, its classes and functions, in source order; expressions are not visited, for speed."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.Module, *_DEFINITIONS)):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring
        children: Iterable[ast.AST] = (
            child
            for field in ("body", "orelse", "handlers", "finalbody")
            for child in getattr(node, field, ())
            if isinstance(child, (*_DEFINITIONS, ast.If, ast.Try, ast.ExceptHandler))
        )
        pending += reversed(list(children))


@functools.cache
def _sources() -> dict[str, Path]:
    """The source file of each dotted module name, for the top-level modules that are not excluded."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    found = {}
    for top in sorted(sys.stdlib_module_names - EXCLUDED_MODULES):
        paths = [folder / f"{top}.py", *(folder / top).rglob("*.py")]
        for path in paths:
            parts = path.relative_to(folder).with_suffix("").parts
            if path.is_file() and not EXCLUDED_FOLDERS.intersection(parts):
                found[".".join(part for part in parts if part != "__init__")] = path
    if not found:
        raise ValueError(
            f"The embedded text needs the sources of the standard library. {folder} holds no .py files; "
            "use a Python that ships them, or give your own data with --task and --corpus"
        )
    return found
