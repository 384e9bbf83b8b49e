"""Consistent transfer: what grows keeps the function, what shrinks keeps most of it, layers find their partners."""

import random
from collections.abc import Callable

import pytest
import torch

from design_space import ModelSpec
from flexibert import (
    FlexiBERTForMaskedLM,
    FlexiBERTForSequenceClassification,
    FlexiBERTModel,
    transfer_overlap,
)
from flexibert.mixing.axes import Sizes
from flexibert.transfer.layer_alignment import align_layers
from flexibert.transfer.sampled_states import SampledStates
from flexibert.transfer.space_maps import best_units, grown_residual, projected, regression
from tests.flexibert.random_specs import random_spec

IDS = torch.randint(41, (4, 9), generator=torch.Generator().manual_seed(3))
SA = {"l": 2, "o": ["sa", "sa"], "h": [16, 16], "n": [2, 2], "f": [[32], [24]], "p": ["sdp", "wma"]}
CONV = {"l": 2, "o": ["c", "c"], "h": [16, 16], "n": [2, 3], "f": [[32], [24]], "p": [3, 5]} | {"h": [16, 24]}
HETERO = {
    "l": 2,
    "o": [["c_3_8", "sa_wma_8", "sa_sdp_8"], ["sa_sdp_4", "c_3_4", "sa_wma_4"]],
    "h": [16, 24],
    "f": [[32], [24, 16]],
}
L_HETERO = HETERO | {"o": [["l_dft_8", "sa_sdp_8"], ["c_3_4", "l_dct_4"]]}


def _trained_like(model: torch.nn.Module) -> torch.nn.Module:
    """LayerNorms and biases away from their initial values, as after training."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" in name or name.endswith("bias"):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def _moved(source: torch.nn.Module, model_dict: dict, tiny: Callable, **options: object) -> torch.nn.Module:
    torch.manual_seed(9)
    target = type(source)(tiny(model_dict, **options), transfer_mode="consistent").eval()
    target.load_model_from_source(source)
    return target


def _times(widths: list, factor: int) -> list:
    return [_times(width, factor) if isinstance(width, list) else factor * width for width in widths]


POSITIONS = ["absolute", "relative_key", "relative_key_query"]
GROWN = {
    "same": (SA, {}),
    "width": (SA, {"h": [32, 32]}),
    "width and heads": (SA, {"h": [32, 32], "n": [4, 4]}),
    "three times the width": (SA, {"h": [48, 48]}),
    "feed-forward": (SA, {"f": [[64], [40]]}),
    "convolution": (CONV, {"h": [32, 48]}),
    "convolution, heads": (CONV, {"h": [32, 48], "n": [4, 6]}),
    "hetero, heads": (HETERO, {"o": [[*HETERO["o"][0], "c_3_8", "sa_sdp_8"], ["l_dft_4", *HETERO["o"][1]]]}),
    "hetero, width": (HETERO, {"h": [32, 48]}),
    "hetero, head size": (HETERO, {"o": [[h[:-1] + "12" for h in HETERO["o"][0]], HETERO["o"][1]]}),
    "hetero transforms, width": (L_HETERO, {"h": [32, 48]}),
    "one width becomes two": (SA, {"h": [16, 32]}),
    "two widths become one": (SA | {"h": [16, 16]}, {"h": [32, 16]}),
}


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("name", GROWN)
def test_what_grows_gives_the_same_outputs(name: str, positions: str, tiny: Callable) -> None:
    model_dict, change = GROWN[name]
    if name == "two widths become one":
        change = {"h": [32, 48]}
    source = _trained_like(FlexiBERTForMaskedLM(tiny(model_dict, position_embedding_type=positions)))
    target = _moved(source, model_dict | change, tiny, position_embedding_type=positions)
    torch.testing.assert_close(target(IDS).logits, source(IDS).logits, atol=1e-4, rtol=1e-4)


def test_the_pooled_state_and_classes_grow_too(tiny: Callable) -> None:
    source = _trained_like(FlexiBERTForSequenceClassification(tiny(SA, num_labels=3)))
    target = _moved(source, SA | {"h": [32, 32]}, tiny, num_labels=3)
    torch.testing.assert_close(target(IDS).logits, source(IDS).logits, atol=1e-5, rtol=1e-5)


def test_copies_of_a_unit_are_read_differently_and_part_in_training(tiny: Callable) -> None:
    source = _trained_like(FlexiBERTForMaskedLM(tiny(SA)))
    target = _moved(source, SA | {"h": [32, 32]}, tiny).train()
    optimizer = torch.optim.SGD(target.parameters(), 0.1)
    target(IDS, labels=IDS).loss.backward()
    optimizer.step()
    words = target.bert.embeddings.word_embeddings.weight
    assert (words[:, :16] - words[:, 16:]).abs().max() > 1e-3


def test_a_deeper_feed_forward_stack_passes_its_values_on(tiny: Callable) -> None:
    source = _trained_like(FlexiBERTModel(tiny(SA)))
    target = _moved(source, SA | {"f": [[32, 40], [24, 24, 32]]}, tiny)
    torch.testing.assert_close(target(IDS)[0], source(IDS)[0], atol=1e-4, rtol=1e-4)


def test_further_layers_start_as_the_identity_where_layernorms_are_even(tiny: Callable) -> None:
    source = FlexiBERTModel(tiny(SA)).eval()
    deep = {key: value * 2 if isinstance(value, list) else 4 for key, value in SA.items()}
    torch.testing.assert_close(_moved(source, deep, tiny)(IDS)[0], source(IDS)[0], atol=1e-4, rtol=1e-4)
    trained = _trained_like(source)
    got, want = _moved(trained, deep, tiny)(IDS)[0], trained(IDS)[0]
    assert (got - want).square().mean() < 0.05 * want.square().mean()


def test_a_width_that_is_no_multiple_keeps_the_states_where_layernorms_are_even(tiny: Callable) -> None:
    source = FlexiBERTModel(tiny(SA)).eval()
    target = _moved(source, SA | {"h": [24, 24]}, tiny)
    torch.testing.assert_close(target(IDS)[0][..., :16], source(IDS)[0], atol=1e-4, rtol=1e-4)


def test_shrinking_loses_less_than_copying_leading_entries(tiny: Callable) -> None:
    """A source whose states lie in few directions, as those of trained networks do."""
    small = _trained_like(FlexiBERTForMaskedLM(tiny(SA)))
    source = _moved(small, SA | {"h": [32, 32], "f": [[64], [48]]}, tiny)
    with torch.no_grad():  # other coordinates, so that no unit stands for a direction
        for parameter in source.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.01)
    want = source(IDS).logits.log_softmax(-1)
    errors = {}
    for mode in ("consistent", "OD", "RP"):
        target = FlexiBERTForMaskedLM(tiny(SA), transfer_mode=mode).eval()
        target.load_model_from_source(source)
        got = target(IDS).logits.log_softmax(-1)
        errors[mode] = float((want.exp() * (want - got)).sum(-1).mean().detach())
    print(errors)
    assert errors["consistent"] < 0.25 * min(errors["OD"], errors["RP"])


@pytest.mark.parametrize("seed", range(24))
def test_any_two_specs_of_a_format_transfer_and_the_overlap_is_the_predicted_one(seed: int, tiny: Callable) -> None:
    source_spec, target_spec = random_spec(seed), random_spec(seed + 100)
    positions = random.Random(seed).choice(POSITIONS)
    configs = [tiny(spec.to_dict(), position_embedding_type=positions) for spec in (source_spec, target_spec)]
    source, target = FlexiBERTModel(configs[0]), FlexiBERTModel(configs[1], transfer_mode="consistent")
    before = {name: value.clone() for name, value in source.state_dict().items()}
    overlap = target.load_model_from_source(source, seed=seed)
    assert overlap == transfer_overlap(source_spec, target_spec, configs[0], mode="consistent")
    assert 0 < overlap <= 1
    assert target(IDS)[0].isfinite().all()
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())


def test_equal_specs_give_overlap_one_and_equal_outputs(model_dict: dict, tiny: Callable) -> None:
    source = _trained_like(FlexiBERTModel(tiny(model_dict)))
    target = FlexiBERTModel(tiny(model_dict), transfer_mode="consistent").eval()
    assert target.load_model_from_source(source) == 1.0
    torch.testing.assert_close(target(IDS)[0], source(IDS)[0], atol=1e-6, rtol=0)


def test_a_masked_lm_model_gives_its_encoder_to_a_classifier(tiny: Callable) -> None:
    source = _trained_like(FlexiBERTForMaskedLM(tiny(SA)))
    target = FlexiBERTForSequenceClassification(tiny(SA), transfer_mode="consistent").eval()
    overlap = target.load_model_from_source(source)
    torch.testing.assert_close(target.bert(IDS)[0], source.bert(IDS)[0], atol=1e-6, rtol=0)
    assert overlap == pytest.approx(1 - (16 * 16 + 16) / sum(p.numel() for p in target.bert.parameters()))


def test_transfer_is_repeatable_and_leaves_the_global_generator_alone(tiny: Callable) -> None:
    source = _trained_like(FlexiBERTForMaskedLM(tiny(SA | {"h": [32, 32]})))
    results = []
    for _ in range(2):
        target = _moved(source, SA, tiny)
        results.append(target(IDS).logits)
    assert torch.equal(*results)
    state = torch.get_rng_state()
    target.load_model_from_source(source)
    assert torch.equal(torch.get_rng_state(), state)


def _align(source: list, target: list) -> tuple:
    specs = [
        ModelSpec.from_dict(
            {"l": len(kinds), "o": [[kind] for kind in kinds], "h": [16] * len(kinds), "f": [[8]] * len(kinds)}
        )
        for kinds in (source, target)
    ]
    return align_layers(*specs, Sizes(41, 16))


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (["sa_sdp_8", "l_dft_8"], ["sa_sdp_8", "l_dft_8"], (0, 1)),
        (["sa_sdp_8", "l_dft_8", "c_3_8"], ["l_dft_8", "c_3_8"], (1, 2)),
        (["l_dft_8", "c_3_8"], ["sa_wma_8", "l_dft_8", "c_3_8"], (None, 0, 1)),
        (["sa_sdp_8", "sa_sdp_8"], ["sa_sdp_8"] * 4, (0, 1, None, None)),
        (["sa_sdp_8", "c_3_8", "sa_sdp_8"], ["sa_sdp_8", "sa_sdp_8"], (0, 2)),
        (["sa_sdp_8"], ["l_dft_8"], (0,)),
    ],
)
def test_layers_are_aligned_in_order_by_what_corresponds(source: list, target: list, expected: tuple) -> None:
    assert _align(source, target) == expected


def test_grown_maps_keep_mean_and_variance() -> None:
    states = torch.randn(50, 6, dtype=torch.float64)
    for target in (12, 15):
        grown = grown_residual(6, target)
        moved = states @ grown.write.T
        torch.testing.assert_close(moved.mean(1), states.mean(1))
        torch.testing.assert_close(
            moved.var(1, correction=0).sqrt(), grown.norm_scale * states.var(1, correction=0).sqrt()
        )
        torch.testing.assert_close(moved @ grown.read.T, states)


def test_projected_maps_keep_states_of_few_directions_and_their_mean() -> None:
    states = torch.randn(200, 3, dtype=torch.float64) @ torch.randn(3, 16, dtype=torch.float64) + 0.5
    space = projected(states, 6)
    moved = states @ space.write.T
    torch.testing.assert_close(moved @ space.read.T, states)
    assert moved.var(1, correction=0).mean() == pytest.approx(float(states.var(1, correction=0).mean()), rel=1e-6)


def test_best_units_span_the_rest() -> None:
    base = torch.randn(100, 3, dtype=torch.float64)
    states = torch.cat([base, base @ torch.randn(3, 5, dtype=torch.float64)], 1)
    units = best_units(states, 3)
    torch.testing.assert_close(states[:, units] @ regression(states[:, units], states).T, states, atol=0.02, rtol=0.01)


def test_sampling_states_leaves_the_model_as_it_was(tiny: Callable) -> None:
    model = FlexiBERTForMaskedLM(tiny(SA)).train()
    states = SampledStates(model, 0)
    assert states.residual(0).shape == (64 * 16 * 5, 16)
    assert states.feed_forward(1, 0).shape == (64 * 16, 24)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    model.load_state_dict(model.state_dict())
