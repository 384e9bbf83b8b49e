"""What input files were when they were read: enough to notice that one has changed since."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def fingerprint(sources: Iterable[Path]) -> str:
    """Digest of the name, size and time of every file, those in folders included; missing ones count as such."""
    digest = hashlib.sha256()
    for source in sources:
        files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        for path in files:
            state = path.stat() if path.exists() else None
            digest.update(f"{path.absolute()} {state and state.st_size} {state and state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
