"""Searches as they change, as server-sent events: all of them first, then each that has changed since; and the ids of
all, the latest first, when there are others.

A page reads them with ``fetch``, which can send the token; a browser's ``EventSource`` cannot.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..jobs import Jobs
from ..reading import BusyError

MOST_STREAMS = 32
HEARTBEAT_S = 15.0
_LOOK_S = 1.0


class Streams:
    """The open streams of a service, of which there are at most ``MOST_STREAMS``.

    Args:
        is_ending: whether the service is about to end, which does not wait for streams that go on.
    """

    def __init__(self, jobs: Jobs, is_ending: Callable[[], bool]) -> None:
        self._jobs, self._is_ending = jobs, is_ending
        self._num_open = 0

    def opened(self) -> StreamingResponse:
        """One more. Raises ``BusyError`` when there are too many."""
        if self._num_open >= MOST_STREAMS:
            raise BusyError(f"{MOST_STREAMS} pages look on already; close one, or try again in a minute")
        self._num_open += 1
        return _Stream(self._events(), self._close)

    def _close(self) -> None:
        self._num_open -= 1

    async def _events(self) -> AsyncIterator[str]:
        told: Mapping[str, str] | None = None
        last = time.monotonic()
        while not self._is_ending():
            now = await run_in_threadpool(self._jobs.everything)
            changed = [text for name, text in now.items() if (told or {}).get(name) != text]
            news = [f"event: search\ndata: {text}\n\n" for text in reversed(changed)]
            if told is None or list(told) != list(now):
                news.append(f"event: searches\ndata: {json.dumps(list(now))}\n\n")
            if news or time.monotonic() - last > HEARTBEAT_S:
                yield "".join(news) or ":\n\n"
                last = time.monotonic()
            told = now
            await asyncio.sleep(_LOOK_S)


class _Stream(StreamingResponse):
    """Is closed however it ends, also where nothing was sent."""

    def __init__(self, events: AsyncIterator[str], close: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()
