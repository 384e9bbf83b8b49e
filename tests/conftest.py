"""What tests of several rooms share."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from design_space import DesignSpace

if TYPE_CHECKING:
    from embeddings import GraphLibrary

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

gc.set_threshold(20_000, 20, 50)
"""The garbage collector looks again and again through all that torch and transformers import, which stays: a seventh of
the suite's time."""


def pytest_collection_finish() -> None:
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the repository; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder 'shared' beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def flexibert_space() -> DesignSpace:
    return DesignSpace.from_yaml(ROOT / "design_space" / "design_space_test.yaml")


@pytest.fixture(scope="session")
def tiny_space() -> DesignSpace:
    """272 architectures at two layers per stack, 65,808 at one, small enough to train in a second."""
    return DesignSpace.from_dict(
        {
            "architecture": {
                "hidden_size": [16, 32],
                "num_heads": [2],
                "encoder_layers": [2, 4],
                "operation_types": ["sa", "l", "c"],
                "number_of_feed-forward_stacks": [1],
                "feed-forward_hidden": [32, 64],
                "operation_parameters": {"sa": ["sdp", "wma"], "l": ["dct"], "c": [5]},
            }
        }
    )


@pytest.fixture(scope="session")
def tiny_library(tiny_space: DesignSpace) -> "GraphLibrary":
    from embeddings import GraphLibrary  # here, so that the core's tests run without the extra 'search'

    return GraphLibrary.build(tiny_space, layers_per_stack=2, embedding_size=8, num_neighbors=10)


@pytest.fixture(scope="session")
def hetero_space() -> DesignSpace:
    """Layers of two or four heads, each of an operation of its own: 42 architectures at two layers per stack, 1,764 at
    one."""
    return DesignSpace.from_dict(
        {
            "architecture": {
                "heterogeneous_heads": True,
                "hidden_size": [16],
                "num_heads": [2, 4],
                "encoder_layers": [2],
                "operation_types": ["sa", "l"],
                "number_of_feed-forward_stacks": [1],
                "feed-forward_hidden": [32, 64],
                "operation_parameters": {"sa": ["sdp", "wma"], "l": ["dct"]},
            }
        }
    )
