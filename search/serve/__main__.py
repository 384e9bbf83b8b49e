"""The command ``python -m search.serve``."""

import gc
import os
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import field, replace
from typing import Annotated, ClassVar

from pydantic import Field
from rich.console import Console

from design_space.command import CommandOptions, read_options, run_command
from design_space.options import NO_SWITCH, Only, Positive, flag, options

from .settings import TOKEN_VARIABLE, ServiceSettings

_SETTINGS = ("root", "encoders", "max_running", "max_queued", "stop_grace_s", "data_dir")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@options
class ServeOptions(CommandOptions):
    """Searches as a web service (docs/service.md)."""

    prog: ClassVar[str] = "python -m search.serve"
    host: str = "127.0.0.1"
    """Address to listen on; traffic is not encrypted."""
    port: Annotated[int, Field(ge=0, le=2**16 - 1), NO_SWITCH] = 8000
    """Port to listen on; 0 for a free one."""
    token: str | None = None
    """What callers must show; $SEARCH_SERVE_TOKEN, or made up, when not given."""
    max_upload: Annotated[Positive, flag(unit="MiB")] = 256.0
    """Most of one request."""
    settings: Annotated[ServiceSettings, Only(_SETTINGS)] = field(default_factory=ServiceSettings)


def serve(arguments: Sequence[str] | None = None) -> None:
    """Read the options and serve until interrupted."""
    options = read_options(ServeOptions, arguments)
    token = options.token or os.environ.get(TOKEN_VARIABLE)
    settings = replace(
        options.settings,
        token=options.settings.token if token is None else token,
        max_upload_bytes=int(options.max_upload * 2**20),
        plugins=options.plugin,
    )
    console = Console(soft_wrap=True, highlight=False, markup=False)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.create_server((options.host, options.port), family=family) as listener:
        if options.host not in _LOOPBACK:
            console.print(f"{options.host} is not this machine alone: traffic, token included, is not encrypted.")
        serve_on(listener, settings, console, is_token_new=token is None)


def serve_on(listener: socket.socket, settings: ServiceSettings, console: Console, *, is_token_new: bool) -> None:
    """Say where the page is, and serve until interrupted.

    Args:
        is_token_new: whether nobody knows the token yet, so that it is printed.
    """
    import uvicorn

    from . import reading
    from .app import create_app
    from .http.connections import ImpatientProtocol, most_connections
    from .jobs import Jobs

    settings.root.mkdir(parents=True, exist_ok=True)
    reading.get_ready()
    # Uploads pass through temporary files without names; they too stay below the root.
    tempfile.tempdir = str(settings.root)
    config = uvicorn.Config(
        create_app(Jobs(settings), is_ending=lambda: server.should_exit),
        http=ImpatientProtocol,
        backlog=max(1, most_connections() // 5),  # as many are accepted before one is looked at
        log_level="warning",
        server_header=False,
    )
    server = uvicorn.Server(config)
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    if is_token_new:
        console.print(f"Token: {settings.token}")
        console.print(f"Page:  {address}#token={settings.token}")
    else:
        console.print(f"Page:  {address}")
    console.print(f"Searches in {settings.root}; they go on when this service ends. Ctrl-C ends it.")
    gc.freeze()  # what is imported stays: to look through it again and again holds up everybody for half a second
    server.run(sockets=[listener])


if __name__ == "__main__":
    run_command(serve)
