"""Storage for the data and weights of a cluster whose nodes share no folder: a place that fsspec knows.

Below the URI lies a folder of the run's own, and in it ``data-<digest>/``, ``teacher-<digest>/``, ``models/<hash>/``,
``roots/<name>/`` and, of trials in flight, ``work/<trial>/<number>/``. Files of a folder are written first, its mark
last; a folder without a mark is not there.
"""

import hashlib
import shutil
import uuid
from pathlib import Path

import fsspec

from dataset.prepared import TASK_FILE
from design_space.files import write_atomically

from .options import without_password

_MARK = ".complete"
_ID_FILE = ".storage-id"


class Storage:
    """Folders by name at a URI, each there whole or not at all.

    Args:
        uri: an address of any protocol whose package is installed, or the path of a shared folder. It may hold a
            password.

    Raises:
        ValueError: for an unknown protocol, or one whose package is missing.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            self._files, root = fsspec.core.url_to_fs(uri)
        except Exception as error:  # each protocol has its own
            reason = without_password(f"Got {uri!r}: {error}", uri)
            raise ValueError(f"'storage' must be a path or a URI that fsspec can open. {reason}") from None
        self._root = root.rstrip("/")

    @classmethod
    def of_run(cls, uri: str, models_dir: Path) -> "Storage":
        """Makes the run's own folder at a URI, by a name that lies with its models; levels of one run share it.

        Raises:
            ValueError: when nothing can be written there.
        """
        models_dir.mkdir(parents=True, exist_ok=True)
        id_file = models_dir / _ID_FILE
        if not id_file.exists():
            write_atomically(id_file, uuid.uuid4().hex[:12])
        storage = cls(f"{uri.rstrip('/')}/run-{id_file.read_text()}")
        try:
            storage._write_mark("probe")
            storage.remove("probe")
        except Exception as error:  # each protocol has its own
            reason = without_password(f"At {uri}: {type(error).__name__}: {error}", uri)
            raise ValueError(f"'storage' must be writable. {reason}") from None
        return storage

    @property
    def shown(self) -> str:
        """The URI as it may be shown and written down."""
        return without_password(self.uri)

    def has(self, name: str) -> bool:
        """Says whether a folder is there, whole."""
        self._files.invalidate_cache()  # another process may have written
        return bool(self._files.exists(f"{self._root}/{name}/{_MARK}"))

    def push(self, folder: Path, name: str) -> None:
        """Copies a local folder there, in place of what has that name."""
        self.remove(name)
        self._files.put(f"{folder}/", f"{self._root}/{name}/", recursive=True)
        self._write_mark(name)

    def fetch(self, name: str, folder: Path) -> bool:
        """Copies a folder from there, in place of the local one; does nothing, and returns False, when it is not
        there."""
        if not self.has(name):
            return False
        partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        try:
            self._files.get(f"{self._root}/{name}/", f"{partial}/", recursive=True)
            (partial / _MARK).unlink()
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return True

    def remove(self, name: str) -> None:
        """Takes a folder away, its mark first."""
        mark = f"{self._root}/{name}/{_MARK}"
        if self._files.exists(mark):
            self._files.rm_file(mark)
        if self._files.exists(f"{self._root}/{name}"):
            self._files.rm(f"{self._root}/{name}", recursive=True)

    def names(self, folder: str) -> list[str]:
        """Returns the names of the whole folders in one, sorted."""
        self._files.invalidate_cache()
        base = f"{self._root}/{folder}"
        if not self._files.exists(base):
            return []
        names = [path.rstrip("/").rpartition("/")[2] for path in self._files.ls(base, detail=False)]
        return sorted(name for name in names if self.has(f"{folder}/{name}"))

    def _write_mark(self, name: str) -> None:
        self._files.makedirs(f"{self._root}/{name}", exist_ok=True)
        self._files.pipe_file(f"{self._root}/{name}/{_MARK}", b"")


def data_name(data_dir: Path) -> str:
    """Names prepared data by what they were made from."""
    return f"data-{hashlib.sha256((data_dir / TASK_FILE).read_bytes()).hexdigest()[:12]}"


def teacher_name(folder: Path) -> str:
    """Names what a teacher says by the teacher and the data, as its folder is named."""
    return f"teacher-{folder.name}"


def root_name(name: str) -> str:
    """Names the folder of a pre-trained encoder."""
    return f"roots/{name}"


def model_name(graph_hash: str) -> str:
    """Names the folder of a trained model."""
    return f"models/{graph_hash}"
