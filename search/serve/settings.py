"""How the service is set up: by whoever starts it, never by a client."""

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

TOKEN_VARIABLE = "SEARCH_SERVE_TOKEN"
_TOKEN = re.compile(r"[!-~]{16,}")


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Settings of the service.

    Attributes:
        root: folder that holds all searches; nothing outside of it is read or written for a client.
        token: what a caller must show; at least 16 printable ASCII characters.
        max_upload_bytes: most bytes of one request.
        max_running: searches at the same time; further ones wait. With 0 none is started.
        max_queued: searches that may wait; further ones are refused.
        stop_grace_s: seconds that a stopped search gets to end by itself before it is killed.
        data_dir: folder with GLUE's original TSV files, a folder for each task; None for the Hub.
    """

    root: Path
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    max_upload_bytes: int = 256 * 2**20
    max_running: int = 1
    max_queued: int = 16
    stop_grace_s: float = 30.0
    data_dir: Path | None = None

    def __post_init__(self) -> None:
        problems = [
            f"'{name}' must be at least {least}. Got {getattr(self, name)}"
            for name, least in (("max_upload_bytes", 1), ("max_running", 0), ("max_queued", 0), ("stop_grace_s", 0))
            if not getattr(self, name) >= least
        ]
        if not _TOKEN.fullmatch(self.token):
            problems.append("'token' must be at least 16 printable ASCII characters without spaces")
        if self.root.exists() and not self.root.is_dir():
            problems.append(f"'root' must be a folder. {self.root} is a file")
        if self.data_dir is not None and not self.data_dir.is_dir():
            problems.append(f"'data_dir' must be a folder. There is none at {self.data_dir}")
        if problems:
            raise ValueError("\n  - ".join(["Problems in the settings of the service:", *problems]))
