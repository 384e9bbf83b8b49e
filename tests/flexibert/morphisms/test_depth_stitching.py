"""Stitching in depth: one encoder's lower layers under another's upper ones."""

from collections.abc import Callable

import pytest
import torch

from flexibert import FlexiBERTForMaskedLM, FlexiBERTModel, stitch, stitch_depth

NARROW = {"l": 3, "o": ["sa"] * 3, "h": [8] * 3, "n": [2] * 3, "f": [[24]] * 3, "p": ["sdp", "wma", "sdp"]}
WIDE = NARROW | {"h": [16] * 3, "l": 3}
HETERO = {"l": 2, "o": [["sa_sdp_8", "c_3_8"], ["l_dft_8"]], "h": [16, 16], "f": [[24], [16, 8]]}
IDS = torch.randint(41, (40, 12), generator=torch.Generator().manual_seed(1))
MASK = torch.ones_like(IDS).index_fill_(1, torch.tensor([10, 11]), 0)


def _model(tiny: Callable, model_dict: dict, seed: int, **options: object) -> torch.nn.Module:
    torch.manual_seed(seed)
    model = FlexiBERTForMaskedLM(tiny(model_dict, **options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def test_a_model_stitched_with_its_own_copy_of_another_width_is_itself(tiny: Callable) -> None:
    """The states of a model of twice the width determine its parent's, so the fitted map is exact."""
    upper = _model(tiny, NARROW, 1)
    lower = FlexiBERTForMaskedLM(tiny(WIDE), transfer_mode="consistent").eval()
    lower.load_model_from_source(upper)
    joined = stitch_depth(lower, upper, [IDS], lower_layers=2, upper_start=2, ridge=1e-9)
    assert joined.config.model_dict["h"] == [16, 16, 8]
    torch.testing.assert_close(joined(IDS).logits, upper(IDS).logits, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("model_dict", [WIDE, HETERO], ids=["standard", "hetero"])
def test_between_equal_widths_the_map_is_a_layer_of_its_own(model_dict: dict, tiny: Callable) -> None:
    model = _model(tiny, model_dict, 1)
    depth = model_dict["l"] - 1
    joined = stitch_depth(model, model, [IDS], lower_layers=depth, upper_start=depth, ridge=1e-9)
    assert joined.config.num_hidden_layers == model_dict["l"] + 1
    got, want = joined(IDS).logits.log_softmax(-1), model(IDS).logits.log_softmax(-1)
    assert (want.exp() * (want - got)).sum(-1).mean() < 0.02 * (want.exp() * (want + 3.71)).sum(-1).mean()


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "relu", "quick_gelu", "mish", "silu"])
def test_the_layer_between_is_exact_with_every_activation_that_becomes_the_identity(name: str, tiny: Callable) -> None:
    """The map is fitted without the activation: that layer gives what the map alone would give."""
    model = _model(tiny, WIDE, 1, hidden_act=name)
    joined = stitch_depth(model, model, [IDS], lower_layers=2, upper_start=2)
    bridge = joined.bert.encoder.layer[2]
    states = joined.bert(IDS, output_hidden_states=True).hidden_states
    normed = bridge.attention.output.LayerNorm(states[2])
    inner = bridge.intermediate.sequential[0](normed)
    assert inner.min() >= 5 - 1e-4
    want = bridge.output.LayerNorm(normed + bridge.output.dense(inner))
    torch.testing.assert_close(states[3], want, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu6", "gelu_10", "relu2"])
def test_activations_that_never_are_the_identity_are_refused(name: str, tiny: Callable) -> None:
    model, narrow = _model(tiny, WIDE, 1, hidden_act=name), _model(tiny, NARROW, 1, hidden_act=name)
    with pytest.raises(ValueError, match=f"'hidden_act' must be the identity above 20 .* Got '{name}'; stitch at"):
        stitch_depth(model, model, [IDS], lower_layers=2, upper_start=2)
    assert stitch_depth(model, narrow, [IDS], lower_layers=2, upper_start=2).config.model_dict["h"] == [16, 16, 8]


def test_the_fitted_map_beats_the_mean_on_texts_it_has_not_seen(tiny: Callable) -> None:
    lower, upper = _model(tiny, WIDE, 1), _model(tiny, NARROW, 2)
    batches = [{"input_ids": IDS[:30], "attention_mask": MASK[:30]}]
    joined = stitch_depth(lower, upper, batches, lower_layers=1, upper_start=1)
    assert joined.config.model_dict["h"] == [16, 8, 8]
    got = joined.bert(IDS[30:], output_hidden_states=True).hidden_states[1]
    want = upper.bert(IDS[30:], output_hidden_states=True).hidden_states[1]
    assert (got - want).square().mean() < 0.8 * (want - want.mean((0, 1))).square().mean()
    assert torch.equal(joined.cls.predictions.decoder.weight, upper.cls.predictions.decoder.weight)
    assert torch.equal(joined.bert.embeddings.word_embeddings.weight, lower.bert.embeddings.word_embeddings.weight)


def test_the_decoder_is_the_uppers_also_where_it_is_tied(tiny: Callable) -> None:
    lower, upper = (_model(tiny, WIDE, seed, tie_word_embeddings=True) for seed in (1, 2))
    joined = stitch_depth(lower, upper, [IDS], lower_layers=1, upper_start=1)
    assert torch.equal(joined.cls.predictions.decoder.weight, upper.bert.embeddings.word_embeddings.weight)
    assert torch.equal(joined.bert.embeddings.word_embeddings.weight, lower.bert.embeddings.word_embeddings.weight)


def test_padding_has_no_part_in_the_fit(tiny: Callable) -> None:
    lower, upper = _model(tiny, WIDE, 1), _model(tiny, NARROW, 2)
    other = torch.where(MASK.bool(), IDS, 3)
    fitted = [
        stitch_depth(lower, upper, [{"input_ids": ids, "attention_mask": MASK}], lower_layers=1, upper_start=1)
        for ids in (IDS, other)
    ]
    maps = [model.bert.encoder.layer[0].output.proj_head.weight for model in fitted]
    torch.testing.assert_close(*maps, atol=1e-4, rtol=1e-4)


def test_what_does_not_fit_is_refused(tiny: Callable) -> None:
    lower, upper = _model(tiny, WIDE, 1), _model(tiny, NARROW, 2)
    places = {"lower_layers": 1, "upper_start": 1}
    other = FlexiBERTModel(tiny(NARROW, vocab_size=50))
    cases = [
        ((lower, other, [IDS]), {}, "'vocab_size' must be the same in both models. Got 41 and 50"),
        ((lower, upper, [IDS]), {"lower_layers": 0}, "The teacher has layers 0 to 2. Got -1"),
        ((lower, upper, [IDS]), {"upper_start": 3}, "The teacher has layers 0 to 2. Got 3"),
        ((lower, upper, []), {}, "one batch or more to fit the map on. Got none"),
        ((lower, upper, [IDS]), {"ridge": -1}, "'ridge' must be a number of 0 or above. Got -1"),
        ((lower, upper, [IDS]), {"ridge": float("inf")}, "'ridge' must be a number of 0 or above. Got inf"),
        ((_model(tiny, HETERO, 1), upper, [IDS]), {}, "must be of one format. Got hetero and standard"),
        ((stitch(lower, upper), upper, [IDS]), {}, "must have one residual stream"),
    ]
    for arguments, change, message in cases:
        with pytest.raises(ValueError, match=message):
            stitch_depth(*arguments, **(places | change))
