"""Tiny networks shared by the tests of the room."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from flexibert import FlexiBERTConfig

STANDARD = {
    "l": 3,
    "o": ["sa", "l", "c"],
    "h": [16, 16, 24],
    "n": [2, 4, 3],
    "f": [[32], [24, 32], [32]],
    "p": ["wma", "dct", 3],
}
HETERO = {
    "l": 2,
    "o": [["c_3_8", "sa_wma_8", "l_dft_8", "sa_sdp_8", "sa_wma_8", "c_5_8"], ["l_dct_4", "sa_sdp_4", "c_3_4"]],
    "h": [16, 24],
    "f": [[32], [24, 16]],
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On busy cores, threads that wait for each other make these tiny networks a hundred times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[STANDARD, HETERO], ids=["standard", "hetero"])
def model_dict(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A model dict of each format with every operation, odd heads, and two widths."""
    return request.param


def tiny_config(model_dict: dict[str, Any], **options: Any) -> FlexiBERTConfig:
    """A configuration with few ids and positions, no dropout, and weights large enough to tell models apart."""
    sizes = {"vocab_size": 41, "max_position_embeddings": 16, "initializer_range": 0.3}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return FlexiBERTConfig(model_dict=model_dict, **(sizes | dropout | options))


@pytest.fixture
def tiny() -> Callable[..., FlexiBERTConfig]:
    """Makes a ``tiny_config``; weights are the same in every test."""
    torch.manual_seed(0)
    return tiny_config
