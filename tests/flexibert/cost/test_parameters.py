"""Parameters counted from a spec against those of the built network."""

from collections.abc import Callable

import pytest

from flexibert import FlexiBERTConfig, FlexiBERTModel, count_parameters
from flexibert.cost.parameters import layer_parameters, next_widths
from flexibert.mixing.axes import Sizes
from tests.flexibert.random_specs import random_spec


@pytest.mark.parametrize("positions", ["absolute", "relative_key", "relative_key_query"])
@pytest.mark.parametrize("seed", range(12))
def test_names_and_shapes_are_those_of_the_built_network(seed: int, positions: str, tiny: Callable) -> None:
    spec = random_spec(seed)
    config = tiny(spec.to_dict(), position_embedding_type=positions)
    model = FlexiBERTModel(config)
    assert count_parameters(spec, config) == sum(parameter.numel() for parameter in model.parameters())
    without = FlexiBERTModel(config, add_pooling_layer=False)
    assert count_parameters(spec, config, pooler=False) == sum(parameter.numel() for parameter in without.parameters())
    for layer, width, built in zip(spec.layers, next_widths(spec), model.encoder.layer, strict=True):
        predicted = layer_parameters(layer, width, spec.format == "hetero", Sizes.of(config))
        shapes = {parameter.name: tuple(axis.length for axis in parameter.axes) for parameter in predicted}
        names = {
            name.replace("intermediate.dense", "intermediate.sequential.0"): p for name, p in built.named_parameters()
        }
        assert shapes == {name: tuple(parameter.shape) for name, parameter in names.items()}


def test_the_default_configuration_has_the_known_size() -> None:
    """BERT-base is 109,482,240; relative positions add 12 tables of 1027 x 64 and remove one of 512 x 768."""
    assert count_parameters(FlexiBERTConfig().model_spec) == 109_482_240 + 12 * 1027 * 64 - 512 * 768


def test_the_default_sizes_are_the_configurations() -> None:
    assert Sizes.of(None) == Sizes.of(FlexiBERTConfig())
