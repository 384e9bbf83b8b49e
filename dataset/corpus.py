"""A pre-training corpus: a table of documents (column ``text``), embedded or from text files."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import datasets as hf_datasets

SUFFIXES = (".txt", ".txt.gz", ".md", ".rst")


def load_corpus(sources: Sequence[Path | str] | None = None) -> hf_datasets.Dataset:
    """Documents from text files, plain or gzipped, or folders of them; every line that is not blank is one document.

    Args:
        sources: files and folders; None for the documentation that ships with Python.

    Raises:
        ValueError: for a source that is missing, empty or not UTF-8.
    """
    if not sources:
        from .python_docs import python_docs_corpus

        return python_docs_corpus()
    files = [file for source in sources for file in _files(Path(source).absolute())]
    lines = [line for file in files for line in _lines(file)]
    if not lines:
        raise ValueError(f"No text in the corpus: {', '.join(map(str, files))}")
    return hf_datasets.Dataset.from_dict({"text": lines})


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ValueError(f"No such file or folder of the corpus: {source}")
    found = sorted(path for path in source.rglob("*") if path.is_file() and path.name.endswith(SUFFIXES))
    if not found:
        raise ValueError(f"The folder {source} holds no text files ({', '.join(SUFFIXES)})")
    return found


def _lines(file: Path) -> list[str]:
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        text = content.decode("utf-8-sig")
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{file} is not UTF-8 text{' (gzipped)' if file.suffix == '.gz' else ''}: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
