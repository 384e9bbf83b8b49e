"""A cluster whose head is another process, as on another machine."""

import contextlib
import subprocess
import sys

from tests.patience import HANG_S

HEAD = """
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 0, 'dashboard_port': None})
print(cluster.address, flush=True)
input()
cluster.shutdown()
"""
"""Without a fixed port: where another Ray has it, the socket would stay open."""


@contextlib.contextmanager
def head_node(environment):
    """Its address."""
    with subprocess.Popen(
        [sys.executable, "-c", HEAD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as head:
        assert head.stdout is not None
        try:
            yield next(line for line in head.stdout if ":" in line and " " not in line).strip()
        finally:
            head.communicate("\n", timeout=HANG_S)
