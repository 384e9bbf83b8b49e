"""Fixtures of the service's tests."""

import json
import subprocess
import sys

import pytest

from search.serve import worker
from tests.search.serve.services import Served, Service, wait_until


@pytest.fixture
def service(tmp_path):
    made = Service(tmp_path / "root")
    with made.client:
        yield made


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    """A service for submissions that are refused, and leave nothing."""
    made = Service(tmp_path_factory.mktemp("service") / "root")
    with made.client:
        yield made


@pytest.fixture
def served(tmp_path):
    (tmp_path / "my-bert").mkdir()
    made = Served(tmp_path / "root", encoders=(str(tmp_path / "my-bert"),))
    yield made
    made.end()


@pytest.fixture
def start():
    """Starts the real worker on a folder, with a command of the test's in place of a search."""
    started = []

    def start_worker(folder, code, *, grace_s=10.0):
        (folder.path / "commands.json").write_text(json.dumps([[sys.executable, "-c", code]]))
        command = [sys.executable, "-P", worker.__file__, str(folder.path), str(grace_s)]
        started.append(subprocess.Popen(command, start_new_session=True))
        wait_until(lambda: folder.state() != "queued")
        return started[-1]

    yield start_worker
    for process in started:
        worker.kill_tree(process.pid)
        process.wait()
