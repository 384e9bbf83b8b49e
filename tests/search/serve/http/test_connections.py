"""Connections that ask for nothing keep nobody waiting."""

import resource
import socket
import threading
import time

import pytest
import uvicorn

from search.serve.http import connections
from search.serve.http.connections import ImpatientProtocol, most_connections

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def _answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def connect():
    """Opens connections to a server of its own, which have a second to be answered."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(_answer, http=ImpatientProtocol, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    opened = []

    def connection(sent):
        opened.append(socket.create_connection(listener.getsockname(), timeout=10))
        opened[-1].sendall(sent)
        return opened[-1]

    while not server.started:
        time.sleep(0.01)
    yield connection
    server.should_exit = True
    thread.join()
    for one in opened:
        one.close()


def _is_closed(connection):
    try:
        return connection.recv(1000) == b""
    except ConnectionResetError:
        return True


def test_half_a_header_is_not_waited_for(connect, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_S", 0.2)
    assert _is_closed(connect(b""))
    assert _is_closed(connect(REQUEST[:20]))
    answered = connect(REQUEST)
    assert answered.recv(1000).startswith(b"HTTP/1.1 204")
    answered.sendall(REQUEST[:20])
    assert _is_closed(answered)


def test_the_oldest_that_wait_make_room(connect, monkeypatch):
    monkeypatch.setattr(connections, "most_connections", lambda: 3)
    idle = [connect(REQUEST[:20]) for _ in range(5)]
    assert connect(REQUEST).recv(1000).startswith(b"HTTP/1.1 204")
    assert all(_is_closed(connection) for connection in idle[:3])


@pytest.mark.parametrize(("files", "most"), [(256, 85), (1_000_000, 1000), (resource.RLIM_INFINITY, 1000)])
def test_files_are_left_for_everything_else(monkeypatch, files, most):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert most_connections() == most
