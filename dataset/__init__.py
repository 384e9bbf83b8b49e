"""Tasks and text at rest: GLUE, own tables and the embedded task; metrics, corpora, tokenizers, prepared data."""

from .corpora.corpus import load_corpus
from .loading import load_task
from .prepared import PreparedData
from .tables.options import TableOptions
from .task import Task
from .tokenizer import build_tokenizer

__all__ = ["PreparedData", "TableOptions", "Task", "build_tokenizer", "load_corpus", "load_task"]
