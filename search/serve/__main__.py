"""The command ``python -m search.serve``."""

import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from design_space.command import ArgumentParser, run_command

from .settings import TOKEN_VARIABLE, ServiceSettings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def make_parser() -> ArgumentParser:
    """All flags."""
    parser = ArgumentParser(prog="python -m search.serve", description="Searches as a web service (docs/service.md).")
    add = parser.add_argument
    add("--root", type=Path, default=Path("runs/service"), help="folder of all searches; goes on with what is there")
    add("--host", default="127.0.0.1", help="address to listen on; traffic is not encrypted")
    add("--port", type=int, default=8000, help="port to listen on; 0 for a free one")
    add("--token", default=None, help=f"what callers must show; ${TOKEN_VARIABLE}, or made up, when not given")
    add("--max_upload", type=float, default=256.0, help="most MiB of one request")
    add("--max_running", type=int, default=1, help="searches at the same time; each uses the whole machine")
    add("--max_queued", type=int, default=16, help="searches that may wait")
    add("--stop_grace_s", type=float, default=30.0, help="seconds a stopped search gets to end before it is killed")
    add("--data_dir", type=Path, default=None, help="folder of GLUE's TSV folders; from the Hub when not given")
    return parser


def serve(arguments: Sequence[str] | None = None) -> None:
    """Parse the flags and serve until interrupted."""
    options = make_parser().parse_args(arguments)
    token = options.token or os.environ.get(TOKEN_VARIABLE)
    settings = ServiceSettings(
        root=options.root.absolute(),
        **({} if token is None else {"token": token}),
        max_upload_bytes=int(options.max_upload * 2**20),
        max_running=options.max_running,
        max_queued=options.max_queued,
        stop_grace_s=options.stop_grace_s,
        data_dir=options.data_dir and options.data_dir.absolute(),
    )
    if not 0 <= options.port < 2**16:
        raise ValueError(f"'port' must be in [0, 65535]. Got {options.port}")
    console = Console(soft_wrap=True, highlight=False, markup=False)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.create_server((options.host, options.port), family=family) as listener:
        if options.host not in _LOOPBACK:
            console.print(f"{options.host} is not this machine alone: traffic, token included, is not encrypted.")
        _serve(settings, listener, console, is_token_new=token is None)


def _serve(settings: ServiceSettings, listener: socket.socket, console: Console, *, is_token_new: bool) -> None:
    import uvicorn

    from .app import create_app
    from .jobs import Jobs

    settings.root.mkdir(parents=True, exist_ok=True)
    # Uploads pass through temporary files without names; they too stay below the root.
    tempfile.tempdir = str(settings.root)
    server = uvicorn.Server(uvicorn.Config(create_app(Jobs(settings)), log_level="warning", server_header=False))
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    if is_token_new:
        console.print(f"Token: {settings.token}")
        console.print(f"Page:  {address}#token={settings.token}")
    else:
        console.print(f"Page:  {address}")
    console.print(f"Searches in {settings.root}; they go on when this service ends. Ctrl-C ends it.")
    server.run(sockets=[listener])


if __name__ == "__main__":
    run_command(serve)
