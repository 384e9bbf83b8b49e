"""How the service is set up: by whoever starts it, never by a client."""

import re
import secrets
from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, model_validator

from dataset.loading import name_or_place
from design_space.options import Count, Natural, NonNegative, Place, flag, options

TOKEN_VARIABLE = "SEARCH_SERVE_TOKEN"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_TOKEN = re.compile(r"[!-~]{16,}")


@options
class ServiceSettings:
    """Settings of the service.

    Attributes:
        root: nothing outside of it is read or written for a client.
        token: what a caller must show; at least 16 printable ASCII characters.
        max_upload_bytes: most bytes of one request.
        max_running: with 0 no search is started.
        plugins: modules that the commands of every search import first.
    """

    root: Place = Path("runs/service")
    """Folder of all searches; goes on with what is there."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    max_upload_bytes: Count = 256 * 2**20
    max_running: Natural = 1
    """Searches at the same time; each uses the whole machine."""
    max_queued: Natural = 16
    """Searches that may wait; further ones are refused."""
    stop_grace_s: Annotated[NonNegative, flag(unit="s")] = 30.0
    """Time a stopped search gets to end by itself before it is killed."""
    data_dir: Place | None = None
    """Folder of GLUE's TSV folders, one for each task; from the Hub when not given."""
    encoders: tuple[Annotated[str, AfterValidator(name_or_place)], ...] = ()
    """Pre-trained encoders that searches may start from: folders or Hub names; by the last part of these, clients
    choose one."""
    plugins: tuple[str, ...] = ()

    @property
    def offered(self) -> dict[str, str]:
        """The encoders by the names that clients know."""
        return {Path(encoder).name: encoder for encoder in self.encoders}

    @model_validator(mode="after")
    def _check(self) -> "ServiceSettings":
        problems = []
        if not _TOKEN.fullmatch(self.token):
            problems.append("'token' must be at least 16 printable ASCII characters without spaces")
        if self.root.exists() and not self.root.is_dir():
            problems.append(f"'root' must be a folder. {self.root} is a file")
        if self.data_dir is not None and not self.data_dir.is_dir():
            problems.append(f"'data_dir' must be a folder. There is none at {self.data_dir}")
        for encoder in self.encoders:
            if not (Path(encoder).is_dir() or HUB_NAME.fullmatch(encoder)):
                problems.append(f"'encoders' must be folders or names on the Hub. There is no folder {encoder}")
        if len(self.offered) < len(self.encoders):
            problems.append(f"'encoders' must end in different names. Got {', '.join(self.encoders)}")
        if problems:
            raise ValueError("\n  - ".join(problems))
        return self
