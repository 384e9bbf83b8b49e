"""Ray: a local one started by the command itself, or a running cluster."""

import contextlib
import logging
import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.util import placement_group, remove_placement_group
from rich.console import Console

from design_space.plugins import check_not_hidden

os.environ.pop("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", None)
# Read by Ray when it is imported or by its workers when they start.
_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the journal is our log
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # only epochs have the scores that schedulers compare
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the command; --resume goes on
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
_OWN_PACKAGES = "flexibert_nas.own_packages.prefer_own_packages"
"""What workers call first: they look for modules in the driver's folder, where a user may have a ``dataset.py``."""
_REACH_S = 5.0
_PROBE_S = 120.0
_PROBES = 3
_POLL_S = 0.5
NODE_PATIENCE_S = 300.0
"""For a node of a cluster to join; a machine of a cloud takes minutes."""


@contextlib.contextmanager
def ray_cluster(address: str | None) -> Iterator[None]:
    """Connects to Ray for the time of the block; a connection that was there before is used and kept.

    Args:
        address: where a cluster runs (``host:port``, ``ray://host:port`` or ``auto``); None starts a local one.

    Raises:
        ValueError: when the cluster cannot be reached, or its workers do not run or would import files of the user's
            in place of our packages.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if ray.is_initialized():
        if ray.get_runtime_context().runtime_env.get("worker_process_setup_hook") != _OWN_PACKAGES:
            check_not_hidden([str(Path.cwd())])
        yield
        return
    is_local = address in (None, "local")
    if not is_local and address != "auto":
        _check_reachable(str(address))
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": dict(_ENVIRONMENT), "worker_process_setup_hook": _OWN_PACKAGES},
            **(_closed() if is_local else {}),
        )
    except (ConnectionError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        if "InvalidAuthToken" in f"{error} {error.__cause__}":
            raise ValueError(
                f"The Ray cluster at '{address}' asks for another token than this user's. Copy its ~/.ray/auth_token "
                "here, or set RAY_AUTH_TOKEN_PATH to a file that holds it"
            ) from error
        where = "No local Ray can be started" if is_local else f"No Ray cluster answers at '{address}'"
        raise ValueError(f"{where}: {error}") from error
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own prints the stacks of all threads
        if not is_local:
            _check_workers(str(address))
        yield
    finally:
        ray.shutdown()


def _closed() -> dict[str, Any]:
    """Options of a local Ray that nobody else can reach: it listens on loopback alone, where it asks for a token, and
    its files, and that token, are the user's own.

    Raises:
        ValueError: when its folder is somebody else's.
    """
    Path("~/.ray").expanduser().mkdir(mode=0o700, parents=True, exist_ok=True)
    if "RAY_TMPDIR" not in os.environ:
        # Names of sockets have at most 104 characters, so the folder lies where Ray's would.
        base = os.environ.get("TMPDIR", "/tmp") if sys.platform == "linux" else "/tmp"
        folder = Path(base) / f"ray-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid != os.getuid() or stat.S_ISLNK(found.st_mode):
            raise ValueError(
                f"{folder}, for the files of a local Ray, is not yours. Set RAY_TMPDIR to a folder that is"
            )
        folder.chmod(0o700)
        os.environ["RAY_TMPDIR"] = str(folder)
    return {"include_dashboard": False}


def check_resources(resources: Mapping[str, float], console: Console, *, patience_s: float) -> None:
    """A check that one node of the cluster has what a trial asks for, or has it soon: a node may be about to join, or
    an autoscaler to start one, which sees what is asked for here.

    Raises:
        ValueError: when there is none after ``patience_s``.
    """
    names = {"cpu": "CPU", "gpu": "GPU"}
    wanted = {names.get(name, name): amount for name, amount in resources.items() if amount}
    asked = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
    if _has_node(wanted):
        return
    if patience_s > 0:
        console.print(
            f"Waiting up to {patience_s:.0f} s for a node with {asked}; there is: {_nodes()}", highlight=False
        )
        demand = placement_group([dict(wanted)])
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and not _has_node(wanted):
            time.sleep(_POLL_S)
        remove_placement_group(demand)
    if not _has_node(wanted):
        raise ValueError(f"'resources_per_trial' must fit on one node. Got {asked}; there is: {_nodes()}")


def _has_node(wanted: Mapping[str, float]) -> bool:
    return any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in _alive())


def _alive() -> list[dict[str, float]]:
    """What each node has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _nodes() -> str:
    return "; ".join(f"{node.get('CPU', 0):g} CPU, {node.get('GPU', 0):g} GPU" for node in _alive())


def fitting_trials(resources: Mapping[str, float]) -> int:
    """Returns how many trials the cluster can run side by side, at least 1."""
    total = ray.cluster_resources()
    wanted = {"CPU": resources.get("cpu", 0), "GPU": resources.get("gpu", 0)}
    return max(1, min(int(total.get(name, 0) // amount) for name, amount in wanted.items() if amount))


class _Probe:
    """An actor that does nothing."""

    def answer(self) -> bool:
        return True


def _check_workers(address: str) -> None:
    """Checks that the cluster runs our code, before trials fail for reasons that are not theirs."""
    for attempt in range(1, _PROBES + 1):
        probe = ray.remote(num_cpus=0)(_Probe).remote()
        try:
            ray.get(probe.answer.remote(), timeout=_PROBE_S)
            return
        except (ray.exceptions.RayError, TimeoutError) as error:
            if attempt < _PROBES and isinstance(error, ray.exceptions.RayActorError):
                continue  # a node may have died under it
            raise ValueError(
                f"The Ray cluster at '{address}' answers, but its workers do not run: {str(error).splitlines()[0]}. "
                "Is this package installed on its nodes, and were they started with the same token (~/.ray/auth_token, "
                "and RAY_AUTH_MODE=token exported before `ray start --address`)?"
            ) from error


def _check_reachable(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"'address' of a Ray cluster is written host:port, ray://host:port or auto. Got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=_REACH_S).close()
    except OSError as error:
        raise ValueError(
            f"No Ray cluster answers at '{address}' ({error}). "
            f"Start one with `ray start --head`, or leave out --address"
        ) from error
