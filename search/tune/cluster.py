"""Ray: a local one started by the command itself, or a running cluster."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping

import ray

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
_REACH_S = 5.0
_PROBE_S = 120.0
_PROBES = 3


@contextlib.contextmanager
def ray_cluster(address: str | None) -> Iterator[None]:
    """Connects to Ray for the time of the block; a connection that was there before is used and kept.

    Args:
        address: where a cluster runs (``host:port``, ``ray://host:port`` or ``auto``); None starts a local one.

    Raises:
        ValueError: when the cluster cannot be reached, or its workers do not run.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if ray.is_initialized():
        yield
        return
    if address not in (None, "auto", "local"):
        _check_reachable(str(address))
    try:
        ray.init(
            address=address or "local",
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": _ENVIRONMENT},
        )
    except (ConnectionError, RuntimeError) as error:
        raise ValueError(f"No Ray cluster answers at '{address}': {error}") from error
    try:
        if address not in (None, "local"):
            _check_workers(str(address))
        yield
    finally:
        ray.shutdown()


def check_resources(resources: Mapping[str, float]) -> None:
    """Raises ``ValueError`` when one trial asks for more than any node of the cluster has."""
    names = {"cpu": "CPU", "gpu": "GPU"}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    wanted = {names.get(name, name): amount for name, amount in resources.items() if amount}
    if not any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        there = "; ".join(f"{node.get('CPU', 0):g} CPU, {node.get('GPU', 0):g} GPU" for node in nodes)
        asked = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        raise ValueError(f"'resources_per_trial' must fit on one node. Got {asked}; there is: {there}")


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
