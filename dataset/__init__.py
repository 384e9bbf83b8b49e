"""Tasks and text at rest: GLUE, own tables and the embedded task; metrics, corpora, tokenizers, prepared data."""

from design_space.version import __version__, extras_told

with extras_told():
    from .corpora.corpus import load_corpus
    from .loading import load_task
    from .prepared import PreparedData
    from .tables.options import TableOptions
    from .task import Task
    from .tokenizer import build_tokenizer
    from .vocabulary import trimmed_tokenizer

__all__ = [
    "PreparedData",
    "TableOptions",
    "Task",
    "__version__",
    "build_tokenizer",
    "load_corpus",
    "load_task",
    "trimmed_tokenizer",
]
