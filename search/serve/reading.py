"""What was uploaded is read for the first time in a process of its own, with limits of time and memory: whatever a
file makes its reader do, the service lives on.

One submission is read at a time. The process is forked from a server that has imported the readers, so it starts at
once.
"""

import contextlib
import io
import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import yaml

from design_space import DesignSpace
from embeddings.library import checked_sizes, number_to_list

BASE_S, S_PER_MIB = 8.0, 0.25
BASE_BYTES, BYTES_PER_BYTE = 3 * 2**29, 4
"""What all files of a submission may take together, and what more by their size on disk."""

_PATIENCE_S = 60.0
_DEEPEST = 10
_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
_one_at_a_time = threading.Lock()
_context = multiprocessing.get_context("forkserver")


class BusyError(RuntimeError):
    """Other submissions are being read."""


@dataclass(frozen=True)
class Reading:
    """A field of the form, and what reads its file (a ``functools.partial``: it goes to another process)."""

    field: str
    read: Callable[[], object]


def get_ready() -> None:
    """Start the server that the processes are forked from, if there is none yet."""
    _context.set_forkserver_preload([__name__, "dataset"])
    forkserver.ensure_running()


def problems_of(readings: Sequence[Reading], num_bytes: int) -> list[str]:
    """Reads files of ``num_bytes`` together; returns what is wrong with them.

    Raises:
        BusyError: when others are being read for too long.
    """
    if not _one_at_a_time.acquire(timeout=_PATIENCE_S):
        raise BusyError("Other submissions are being read; try again in a minute")
    try:
        return list(filter(None, _answers(readings, num_bytes)))
    finally:
        _one_at_a_time.release()


def _answers(readings: Sequence[Reading], num_bytes: int) -> Iterator[str]:
    """What is wrong with each file, empty where nothing is."""
    seconds = BASE_S + S_PER_MIB * num_bytes / 2**20
    memory = BASE_BYTES + BYTES_PER_BYTE * num_bytes
    get_ready()
    ours, theirs = _context.Pipe(duplex=False)
    process = _context.Process(target=_read_all, args=(theirs, readings, memory, tempfile.gettempdir()), daemon=True)
    process.start()
    theirs.close()
    try:
        try:
            ours.recv()  # it has begun
        except EOFError:
            raise BusyError("The files cannot be read now; try again in a minute") from None
        deadline = time.monotonic() + seconds
        for reading in readings:
            if not ours.poll(max(0.0, deadline - time.monotonic())):
                yield f"'{reading.field}' cannot be used: to read it takes more than {seconds:.0f} s"
                return
            try:
                yield ours.recv()
            except EOFError:
                yield (
                    f"'{reading.field}' cannot be used: to read it takes more than {memory / 2**30:.1f} GiB of memory, "
                    "or it breaks its reader"
                )
                return
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def _read_all(answers: Connection, readings: Sequence[Reading], memory: int, temporary: str) -> None:
    """The process: answers once for each file, after a limit is set."""
    tempfile.tempdir = temporary
    _limit_memory(memory)
    answers.send("")
    for reading in readings:
        answers.send(_problem(reading, memory))


def _problem(reading: Reading, memory: int) -> str:
    try:
        reading.read()
    except MemoryError:
        reason = f"to read it takes more than {memory / 2**30:.1f} GiB of memory"
    except ValueError as error:
        reason = str(error)[:2000]
    except Exception as error:  # a damaged file can make its reader raise anything
        reason = f"it is damaged ({type(error).__name__})"
    else:
        return ""
    return f"'{reading.field}' cannot be used: {reason}"


def _limit_memory(num_bytes: int) -> None:
    """Let this process take so much more than it has; macOS does not know such limits."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + num_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def check_space(path: Path, options: Mapping[str, Any]) -> None:
    """Reads a design space whose library is to be made with ``options``. Raises ``ValueError`` for a wrong or too large
    one."""
    _check_nesting(path.read_text(encoding="utf-8"))
    space = DesignSpace.from_yaml(path)
    size = space.size(
        layers_per_stack=options.get("layers_per_stack", 2),
        heterogeneous_feed_forward=options.get("heterogeneous_feed_forward", False),
    )
    number = number_to_list(size, options.get("max_graphs"))
    checked_sizes(number, options.get("embedding_size"), options.get("num_neighbors"))


def _check_nesting(text: str) -> None:
    """Whether reading the text takes no more time and memory than its length says."""
    depth = 0
    try:
        for token in yaml.scan(io.StringIO(text), Loader=yaml.SafeLoader):
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if isinstance(token, yaml.AliasToken):
                raise ValueError("aliases (*name) are not allowed in an uploaded file")
            if depth > _DEEPEST:
                raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
    except yaml.YAMLError as error:
        raise ValueError(f"it is not valid YAML: {error}") from None
