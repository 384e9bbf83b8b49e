"""What the tests of this room share."""

from pathlib import Path

import datasets as hf_datasets
import pytest

from dataset.corpora.python_docs import python_docs_corpus, python_docs_task
from dataset.task import Task


@pytest.fixture(scope="session")
def embedded_task() -> Task:
    return python_docs_task()


@pytest.fixture(scope="session")
def embedded_corpus() -> hf_datasets.Dataset:
    return python_docs_corpus()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the shared data in {folder}")
    return folder
