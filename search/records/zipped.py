"""A folder as a zip, made while it is sent: neither the archive nor a file of it is ever whole in memory or on disk."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

_CHUNK_BYTES = 2**20


class _Sink(io.RawIOBase):
    """A stream that cannot seek; what was written is taken from it."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._chunks.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken


def zipped(folder: Path) -> Iterator[bytes]:
    """The chunks of an uncompressed zip (weights do not compress) of all files below ``folder``; links are left out."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            entry = zipfile.ZipInfo.from_file(path, str(path.relative_to(folder)))
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(_CHUNK_BYTES):
                    target.write(chunk)
                    yield sink.take()
    yield sink.take()
