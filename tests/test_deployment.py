"""Containers and the job for Kubernetes, read: they are not built here. What runs in them is run elsewhere."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import tomllib
import yaml

from search.runs.options import parse
from search.serve.__main__ import ServeOptions
from tests.conftest import ROOT

FILES = {"service": ROOT / "Dockerfile", "model": ROOT / "flexibert" / "export" / "Dockerfile"}
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)


def instructions(file: Path) -> list[tuple[str, str]]:
    """Of a Dockerfile, in order."""
    text = re.sub(r"(?m)^#.*\n", "", file.read_text()).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    known = "FROM ARG WORKDIR RUN ENV COPY USER VOLUME EXPOSE HEALTHCHECK CMD".split()
    found = [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]
    assert {name for name, _ in found} <= set(known)
    return found


@pytest.mark.parametrize("name", FILES)
def test_images_have_two_stages_a_user_and_a_health_check(name: str) -> None:
    found = instructions(FILES[name])
    stages = [place for place, (instruction, _) in enumerate(found) if instruction == "FROM"]
    assert len(stages) == 2
    assert found[stages[0]][1].endswith(" AS packages")
    last = dict(found[stages[1] :])
    assert re.fullmatch(r"[1-9]\d+", last["USER"])
    assert f"--uid {last['USER']}" in FILES[name].read_text()
    assert "urlopen('http://127.0.0.1:" in last["HEALTHCHECK"]
    port = last["EXPOSE"]
    assert f"127.0.0.1:{port}/" in last["HEALTHCHECK"]
    assert yaml.safe_load(last["CMD"])[-1] == port
    assert not [text for instruction, text in found if instruction == "RUN" and "latest" in text]


def test_the_image_of_the_service_holds_what_the_wheel_needs() -> None:
    copied = [
        text.split()[:-1] for kind, text in instructions(FILES["service"]) if kind == "COPY" and "--from" not in text
    ]
    names = {name for names in copied for name in names}
    assert all(list(ROOT.glob(name)) for name in names)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name for name in project["tool"]["setuptools"]["packages"]["find"]["include"] if "." not in name}
    assert packages <= names
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in packages} <= set(ignored)
    command = yaml.safe_load(dict(instructions(FILES["service"]))["CMD"])
    assert command[:3] == ["python", "-m", "search.serve"]
    assert command[3::2] == ["--root", "--host", "--port"]
    assert ServeOptions.prog == "python -m search.serve"
    assert "torch" in PINS
    assert "ray" in PINS


@pytest.fixture
def job() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "deploy" / "rayjob.yaml").read_text())


def test_the_job_is_one_that_run_boshnas_understands(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    _, _, script = shlex.split(job["spec"]["entrypoint"])
    command, *arguments = shlex.split(script.partition("$(")[0])
    assert command == "run_boshnas"
    options = parse(arguments)
    assert options.cluster.address == "auto"
    assert options.cluster.resources_per_trial == {"cpu": 4.0}
    assert f"test -e {options.run_dir}/config.yaml && echo --resume" in script


def test_its_pods_are_alike_and_may_hold_a_trial(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == PINS["ray"]
    assert cluster["authOptions"] == {"mode": "token"}
    pods = [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    containers = [container for pod in pods for container in pod["containers"]]
    assert len({container["image"] for container in containers}) == 1
    for pod, container in zip(pods, containers, strict=True):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == int(dict(instructions(FILES["service"]))["USER"])
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert container["resources"]["limits"] == container["resources"]["requests"]
    assert float(containers[1]["resources"]["limits"]["cpu"]) >= 4
