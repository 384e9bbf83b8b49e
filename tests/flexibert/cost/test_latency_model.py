"""The time of a forward pass, predicted from measured ones."""

import numpy as np
import pytest
import torch

from design_space import ModelSpec
from flexibert import FlexiBERTConfig, FlexiBERTModel, fit_latency_model, measure_in_turn

SPECS = [
    ModelSpec.homogeneous(layers, hidden, heads, feed_forward)
    for layers in (1, 2, 4)
    for hidden, heads in ((32, 2), (64, 4))
    for feed_forward in (32, 64, 256)
]


def _true_ms(spec: ModelSpec, length: int) -> float:
    heads = sum(len(layer.heads) for layer in spec.layers)
    products = sum(layer.hidden_size * layer.feed_forward[0] for layer in spec.layers)
    return 0.5 + 0.2 * len(spec.layers) + 0.01 * heads + 0.3 * products * length / 1e6


def test_times_that_grow_with_the_terms_are_found_again():
    times = [_true_ms(spec, 32) for spec in SPECS]
    model = fit_latency_model(SPECS, times, length=32)
    unseen = [ModelSpec.homogeneous(3, 64, 2, 128), ModelSpec.homogeneous(6, 32, 4, 96)]
    assert np.allclose(model(unseen), [_true_ms(spec, 32) for spec in unseen], rtol=1e-3)
    assert model.error < 1e-3
    assert (model.shares >= 0).all()


def test_noise_is_told():
    rng = np.random.default_rng(0)
    times = [_true_ms(spec, 32) * rng.uniform(0.8, 1.25) for spec in SPECS]
    assert 0.02 < fit_latency_model(SPECS, times, length=32).error < 0.25


@pytest.mark.parametrize(("specs", "times"), [(SPECS[:1], [1.0]), (SPECS[:2], [1.0, 0.0]), (SPECS[:2], [1.0])])
def test_too_little_to_fit_is_refused(specs, times):
    with pytest.raises(ValueError, match="'milliseconds' must be times above 0 of two or more architectures"):
        fit_latency_model(specs, times, length=32)


def test_models_are_timed_in_turn_under_one_condition(monkeypatch):
    order = []
    models = []
    for layers in (1, 2):
        config = FlexiBERTConfig(model_dict=ModelSpec.homogeneous(layers, 16, 2, 16).to_dict(), vocab_size=20)
        model = FlexiBERTModel(config)
        model.register_forward_pre_hook(lambda module, _: order.append(module.config.num_hidden_layers))
        models.append(model)
    before = torch.get_num_threads()
    small, large = measure_in_turn(models, batch_size=1, length=5, threads=1, repeats=3)
    assert order == [1, 1, 1, 2, 2, 2, 1, 2, 1, 2]  # two untimed passes first
    assert (small.batch_size, small.length, small.threads, small.repeats) == (1, 5, 1, 3)
    assert small.low_ms <= small.median_ms <= small.high_ms
    assert large.device == "cpu"
    assert torch.get_num_threads() == before
