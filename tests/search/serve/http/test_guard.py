"""Nobody without the token, nothing too large, no secrets in what is open."""

import asyncio
import re

import pytest

from search.serve.app import create_app
from search.serve.http.guard import OPEN_PATHS
from search.serve.jobs import Jobs
from search.serve.settings import ServiceSettings
from tests.search.serve.services import TOKEN, Service

ROUTES = [
    ("GET", "/api/searches"),
    ("POST", "/api/searches"),
    ("GET", "/api/searches/20260101-000000-00000000"),
    ("POST", "/api/searches/20260101-000000-00000000/stop"),
    ("POST", "/api/searches/20260101-000000-00000000/resume"),
    ("GET", "/api/searches/20260101-000000-00000000/model"),
    ("GET", "/api/searches/20260101-000000-00000000/report"),
    ("GET", "/api/searches/20260101-000000-00000000/log"),
    ("GET", "/api/events"),
    ("GET", "/api/options"),
    ("GET", "/api/space"),
    ("POST", "/api/tables"),
    ("GET", "/api/openapi.json"),
    ("POST", "/models/20260101-000000-00000000/predict"),
    ("GET", "/nowhere"),
]
WRONG = [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer é"]


def test_every_route_asks_for_the_token(service):
    del service.client.headers["Authorization"]
    for method, path in ROUTES:
        for authorization in WRONG:
            headers = {} if authorization is None else {"Authorization": authorization.encode()}
            answer = service.client.request(method, path, headers=headers)
            assert answer.status_code == 401, (path, authorization)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "Authorization: Bearer" in answer.json()["detail"]


def test_all_routes_are_in_that_test(service):
    described = service.client.get("/api/openapi.json").json()
    routes = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    known = {(method, path.replace("20260101-000000-00000000", "{search_id}")) for method, path in ROUTES}
    assert routes == known - {("GET", "/api/openapi.json"), ("GET", "/nowhere")}
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


def test_nothing_is_stored_for_a_caller_without_the_token(service):
    del service.client.headers["Authorization"]
    assert service.submit().status_code == 401
    assert not any((service.root / "searches").iterdir())
    assert not (service.root / "incoming").exists()


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_the_page_is_open_and_loads_nothing_from_elsewhere(service, path):
    del service.client.headers["Authorization"]
    answer = service.client.get(path)
    assert answer.status_code == 200
    assert "http:" not in answer.text
    assert "https:" not in answer.text
    assert TOKEN not in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_is_open_is_the_page_and_its_scripts(service):
    scripts = re.findall('<script src="([a-z]+.js)">', service.client.get("/").text)
    assert sorted(OPEN_PATHS) == sorted(["/", *(f"/{script}" for script in scripts)])
    assert service.client.get("/worker.js").status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_pages_that_need_the_network_are_not_served(service, path):
    assert service.client.get(path).status_code == 404


@pytest.fixture
def small(tmp_path):
    made = Service(tmp_path / "root", max_upload_bytes=100_000)
    with made.client:
        yield made


def test_a_request_above_the_limit_is_refused(small):
    answer = small.submit(design_space=b"#" * 100_001)
    assert answer.status_code == 413
    assert "larger than the 0.09537 MiB" in answer.json()["detail"]
    assert small.submit(design_space=b"#" * 99_000).status_code == 422


def _upload(root, chunks, *headers):
    """Send ``chunks`` to a service that takes 100,000 bytes; its answer's status."""
    app = create_app(Jobs(ServiceSettings(root=root, token=TOKEN, max_running=0, max_upload_bytes=100_000)))
    sent = []

    async def receive():
        return {"type": "http.request", "body": next(chunks), "more_body": True}

    async def send(message):
        sent.append(message)

    always = [(b"authorization", f"Bearer {TOKEN}".encode()), (b"content-type", b"multipart/form-data; boundary=b")]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
    scope |= {"path": "/api/searches", "raw_path": b"", "query_string": b"", "root_path": "", "headers": always}
    asyncio.run(app(scope | {"headers": [*always, *headers]}, receive, send))
    return sent[0]["status"]


def test_a_stream_is_cut_where_it_crosses_the_limit(tmp_path):
    head = b'--b\r\nContent-Disposition: form-data; name="table"; filename="a.csv"\r\n\r\n'
    chunks = iter([head, *[b"x" * 10_000] * 1000])
    assert _upload(tmp_path / "root", chunks) == 413
    assert len(list(chunks)) == 990
    assert not (tmp_path / "root" / "incoming").exists()


@pytest.mark.parametrize("length", [b"100001", b"-1", b"many", b"9" * 30])
def test_a_wrong_announced_length_is_refused_unread(tmp_path, length):
    chunks = iter([b"x"])
    assert _upload(tmp_path / "root", chunks, (b"content-length", length)) == 413
    assert list(chunks) == [b"x"]


def test_bodies_that_are_no_uploads_have_a_small_limit(service):
    folder = service.accepted()
    assert service.post(folder, "resume", content=b" " * (2**20 + 1)).status_code == 413


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token": "short"}, "'token' must be at least 16 printable ASCII characters"),
        ({"token": "with a space in its midst"}, "'token' must be at least 16"),
        ({"max_upload_bytes": 0}, "'max_upload_bytes' must be a whole number of at least 1. Got 0"),
        ({"max_queued": -1}, "'max_queued' must be a whole number of at least 0. Got -1"),
    ],
    ids=["short", "space", "upload", "queue"],
)
def test_wrong_settings_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        ServiceSettings(root=tmp_path, **settings)


def test_a_token_is_made_up_and_not_shown(tmp_path):
    first, second = ServiceSettings(root=tmp_path), ServiceSettings(root=tmp_path)
    assert len(first.token) >= 43
    assert first.token != second.token
    assert first.token not in repr(first)
