"""Connections that ask for nothing: anyone can open them, so they end after a while, and the oldest first where there
are too many.

uvicorn waits for the rest of a header for as long as it takes, and opens as many sockets as it is asked for; then no
file is left to be opened by anything else in the service.
"""

import asyncio
import resource

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_S = 10.0
"""Time for the whole header of a request."""
_MOST = 1000


def most_connections() -> int:
    """A third of the files that this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else max(1, min(_MOST, soft // 3))


class ImpatientProtocol(H11Protocol):
    """uvicorn's HTTP, which a connection without a request does not keep waiting."""

    _deadline: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether there is no request to be answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ends the one that has waited longest where there are too many."""
        super().connection_made(transport)
        self.opened = self.loop.time()
        self._watch()
        if len(self.connections) > most_connections():
            waiting = [one for one in self.connections if isinstance(one, ImpatientProtocol) and one.is_waiting]
            min(waiting, key=lambda one: one.opened).end()

    def data_received(self, data: bytes) -> None:
        """Begins to wait for a header, or has it."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        self._forget_deadline()
        super().connection_lost(exc)

    def end(self) -> None:
        """Close, unless there is something to be answered by now."""
        self._forget_deadline()
        if self.is_waiting:
            self.connections.discard(self)  # at once: more may come before it is closed
            self.transport.abort()

    def _watch(self) -> None:
        if not self.is_waiting:
            self._forget_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_S, self.end)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
