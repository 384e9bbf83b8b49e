"""Searches as server-sent events: all, then what changes; for a bounded number of callers with the token."""

import json

import httpx2
import pytest

from search.serve.http import stream
from tests.patience import HANG_S
from tests.search.serve.services import SPACE, TOKEN, wait_until


@pytest.fixture
def client(served):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx2.Client(base_url=served.address, headers=headers, timeout=HANG_S, trust_env=False) as made:
        yield made


def _events(answer):
    """Kind and content of each, as they come."""
    kind = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))
        elif line.startswith(":"):
            yield "heartbeat", None


def _submit(client, name):
    answer = client.post("/api/searches", data={"name": name}, files={"design_space": ("a.yaml", SPACE)})
    return answer.json()["id"]


def test_all_come_first_and_then_what_changes(served, client, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.0)
    first = _submit(client, "one")
    with client.stream("GET", "/api/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        events = _events(answer)
        kind, status = next(events)
        assert (kind, status) == ("search", client.get(f"/api/searches/{first}").json())
        assert next(events) == ("searches", [first])
        assert next(events) == ("heartbeat", None)
        second = _submit(client, "two")
        said = []
        while ("searches", [second, first]) not in said:
            said.append(next(events))
    assert [status["name"] for kind, status in said if kind == "search"] == ["two"]


def _is_open(client):
    with client.stream("GET", "/api/events") as answer:
        return answer.status_code == 200


def test_no_more_than_a_number_may_look_on(served, client, monkeypatch):
    monkeypatch.setattr(stream, "MOST_STREAMS", 1)
    with client.stream("GET", "/api/events") as answer:
        assert answer.status_code == 200
        refused = client.get("/api/events")
        assert (refused.status_code, "1 pages look on already" in refused.json()["detail"]) == (429, True)
    wait_until(lambda: _is_open(client))  # the first one is closed


def test_a_service_that_ends_waits_for_no_stream(served, client):
    with client.stream("GET", "/api/events") as answer:
        events = _events(answer)
        assert next(events) == ("searches", [])
        served.end()
        assert list(events) == []


def test_nobody_looks_on_without_the_token(served, client):
    assert client.get("/api/events", headers={"Authorization": "Bearer no"}).status_code == 401
    assert client.get(f"/api/events?token={TOKEN}", headers={"Authorization": ""}).status_code == 401
