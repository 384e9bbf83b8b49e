"""Operations counted from a spec against torch's counter over the built network; measured times."""

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from design_space import ModelSpec
from flexibert import FlexiBERTModel, FlexiViTConfig, FlexiViTModel
from flexibert.cost.flops import cost_of, count_flops, flops_per_token
from flexibert.cost.parameters import count_parameters
from flexibert.runtimes.latency import measure_latency
from tests.flexibert.random_specs import random_spec


@pytest.mark.parametrize("positions", ["absolute", "relative_key", "relative_key_query"])
@pytest.mark.parametrize("seed", range(12))
def test_operations_are_those_of_the_built_network(seed: int, positions: str, tiny: Callable) -> None:
    spec, length = random_spec(seed), (13, 14, 16)[seed % 3]
    config = tiny(spec.to_dict(), position_embedding_type=positions)
    model = FlexiBERTModel(config).eval()
    model.set_attn_implementation("eager")  # torch does not count its fused kernel on a CPU
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.randint(5, 41, (1, length)))
    assert count_flops(spec, length, config, products_only=True) == counter.get_total_flops()


def test_what_torch_does_not_count_is_added() -> None:
    layer = {"l": 1, "h": [16], "f": [[8]]}
    dft = ModelSpec.from_dict(layer | {"o": [["l_dft_8", "l_dft_8"]]})
    difference = count_flops(dft, 16) - count_flops(dft, 16, products_only=True)
    assert difference == 2 * 2.5 * (16 * 8) * 7  # log2(16 * 8)


def test_many_specs_cost_what_each_costs() -> None:
    specs = [random_spec(seed) for seed in range(40)]
    cost = cost_of(specs, 32)
    assert cost.parameters.tolist() == [count_parameters(spec) for spec in specs]
    assert cost.flops_per_token.tolist() == [flops_per_token(spec, 32) for spec in specs]


def test_a_length_without_positions_is_refused() -> None:
    for length in (0, 515, 2.5):
        with pytest.raises(ValueError, match=f"'length' must be a whole number from 1 to 514. Got {length}"):
            count_flops(random_spec(0), length)


def test_models_of_images_are_refused() -> None:
    spec = ModelSpec.from_dict({"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[8]], "p": ["sdp"]})
    config = FlexiViTConfig(model_dict=spec.to_dict(), image_size=8, patch_size=4)
    message = "'config' must be a FlexiBERTConfig.* Got FlexiViTConfig"
    for ask in (cost_of, count_flops, flops_per_token):
        with pytest.raises(ValueError, match=message):
            ask([spec] if ask is cost_of else spec, 4, config)
    with pytest.raises(ValueError, match=message):
        count_parameters(spec, config)
    with pytest.raises(ValueError, match=message):
        measure_latency(spec, config)
    for model in (FlexiViTModel(config), torch.nn.Linear(2, 2)):
        with pytest.raises(ValueError, match=f"must be a model of text, .* Got {type(model).__name__}"):
            measure_latency(model)


def test_a_latency_says_how_it_was_measured(tiny: Callable) -> None:
    spec = random_spec(3)
    config = tiny(spec.to_dict())
    latency = measure_latency(spec, config, batch_size=2, length=9, threads=1, repeats=12)
    assert (latency.batch_size, latency.length, latency.threads, latency.repeats) == (2, 9, 1, 12)
    assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
    assert "2 x 9 tokens in PyTorch on the CPU with 1 thread" in str(latency)
    model = FlexiBERTModel(config).train()
    deeper = FlexiBERTModel(
        tiny({"l": 20, "o": ["sa"] * 20, "h": [64] * 20, "n": [2] * 20, "f": [[256]] * 20, "p": ["sdp"] * 20})
    )
    assert measure_latency(deeper, length=16).low_ms > measure_latency(model, length=16).high_ms
    assert model.training
    with pytest.raises(ValueError, match="'repeats' must be a whole number above 0. Got 0"):
        measure_latency(model, repeats=0)
    with pytest.raises(ValueError, match="'length' must be a whole number above 0. Got 2.5"):
        measure_latency(model, length=2.5)
