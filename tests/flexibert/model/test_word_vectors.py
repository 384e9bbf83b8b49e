"""Word vectors of another width than the layers', with a projection between them (ELECTRA): everything goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from flexibert import (
    FlexiBERTForMaskedLM,
    FlexiBERTForSequenceClassification,
    FlexiBERTModel,
    cost_of,
    count_flops,
    count_parameters,
    prune,
    stitch,
    stitch_depth,
    to_bert,
    transfer_overlap,
)
from flexibert.pruning.compaction import structure_of
from flexibert.pruning.extraction import extract_submodel
from tests.flexibert.random_specs import random_spec

SA = {"l": 2, "o": ["sa", "sa"], "h": [16, 16], "n": [2, 2], "f": [[32], [24]], "p": ["sdp", "sdp"]}
DEEP = {"l": 4, "o": ["sa"] * 4, "h": [16] * 4, "n": [2] * 4, "f": [[32], [24]] * 2, "p": ["sdp"] * 4}
IDS = torch.randint(41, (4, 9), generator=torch.Generator().manual_seed(3))
VECTORS = {"word_vector_size": 12, "position_embedding_type": "absolute"}


def _trained_like(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" in name or name.endswith("bias"):
                parameter.add_(torch.randn(parameter.shape) * 0.2)
    return model.eval()


def test_layers_read_the_projected_vectors(tiny: Callable, tmp_path: Path) -> None:
    model = _trained_like(FlexiBERTModel(tiny(SA, **VECTORS)))
    parts = model.embeddings
    assert parts.word_embeddings.weight.shape == (41, 12)
    vectors = parts.word_embeddings.weight[IDS] + parts.token_type_embeddings.weight[0]
    vectors = vectors + parts.position_embeddings.weight[: IDS.shape[1]]
    expected = parts.projection(parts.LayerNorm(vectors))
    torch.testing.assert_close(model(IDS, output_hidden_states=True).hidden_states[0], expected)
    torch.testing.assert_close(model(inputs_embeds=parts.word_embeddings(IDS))[0], model(IDS)[0])
    with pytest.raises(ValueError, match=r"'inputs_embeds' must be of shape \(batch, sequence, 12\)"):
        model(inputs_embeds=torch.zeros(1, 3, 16))
    model.save_pretrained(tmp_path)
    assert torch.equal(FlexiBERTModel.from_pretrained(tmp_path).eval()(IDS)[0], model(IDS)[0])
    with pytest.raises(ValueError, match="'word_vector_size' must be None: BERT's .* Got 12"):
        to_bert(model)


def test_a_decoder_is_tied_to_vectors_as_wide_as_the_last_layer(tiny: Callable) -> None:
    for width, expected in ((16, True), (12, False)):
        model = FlexiBERTForMaskedLM(tiny(SA, word_vector_size=width, tie_word_embeddings=True))
        assert (model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight) is expected
        assert model(IDS).logits.shape == (4, 9, 41)


@pytest.mark.parametrize("seed", range(4))
def test_the_projection_counts(seed: int, tiny: Callable) -> None:
    spec = random_spec(seed)
    config = tiny(spec.to_dict(), word_vector_size=12)
    model = FlexiBERTModel(config).eval()
    model.set_attn_implementation("eager")
    assert count_parameters(spec, config) == model.num_parameters()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.randint(5, 41, (1, 16)))
    assert count_flops(spec, 16, config, products_only=True) == counter.get_total_flops()
    cost = cost_of([spec], 16, config)
    assert cost.parameters[0] == model.num_parameters()
    assert cost.flops_per_token[0] * 16 == count_flops(spec, 16, config)


@pytest.mark.parametrize("mode", ["consistent", "OD", "RP"])
@pytest.mark.parametrize("change", [{}, {"h": [32, 32]}, {"h": [8, 8]}], ids=["same", "wider", "narrower"])
def test_weights_are_transferred(mode: str, change: dict, tiny: Callable) -> None:
    source = _trained_like(FlexiBERTModel(tiny(SA, **VECTORS)))
    config = tiny(SA | change, **VECTORS)
    target = FlexiBERTModel(config, transfer_mode=mode).eval()
    overlap = target.load_model_from_source(source)
    expected = transfer_overlap(source.config.model_spec, config.model_spec, config, mode=mode)
    assert overlap == pytest.approx(expected)
    assert torch.equal(target.embeddings.word_embeddings.weight, source.embeddings.word_embeddings.weight)
    if not change:
        torch.testing.assert_close(target(IDS)[0], source(IDS)[0], atol=1e-5, rtol=0)
        assert overlap == 1
    elif mode == "consistent" and change["h"] == [32, 32]:
        torch.testing.assert_close(target(IDS)[0][..., :16], source(IDS)[0], atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="'word_vector_size' must be the same in both models"):
        FlexiBERTModel(tiny(SA, position_embedding_type="absolute")).load_model_from_source(source)


def test_further_layers_start_as_the_identity_where_states_are_even(tiny: Callable) -> None:
    """The states that leave a projection are no LayerNorm's: only those after the first layer are even."""
    source = FlexiBERTModel(tiny(SA, **VECTORS)).eval()
    target = FlexiBERTModel(tiny(DEEP, **VECTORS)).eval()
    target.load_model_from_source(source)
    torch.testing.assert_close(target(IDS)[0], source(IDS)[0], atol=1e-4, rtol=1e-4)


def test_stitched_models_keep_their_vectors(tiny: Callable) -> None:
    a, b = (_trained_like(FlexiBERTModel(tiny(SA, **VECTORS))) for _ in range(2))
    grouped = stitch(a, b)
    both = torch.cat([a(IDS)[0], b(IDS)[0]], dim=-1)
    torch.testing.assert_close(grouped(IDS)[0], both, atol=1e-5, rtol=0)
    vectors = torch.cat([model.embeddings.word_embeddings(IDS) for model in (a, b)], dim=-1)
    torch.testing.assert_close(grouped(inputs_embeds=vectors)[0], both, atol=1e-5, rtol=0)
    assert count_parameters(grouped.config.model_spec, grouped.config) == grouped.num_parameters()
    with pytest.raises(ValueError, match="word_embeddings.weight' exists once in a joint model and differs"):
        stitch(a, b, layernorm="concat")
    for name in ("word_embeddings", "token_type_embeddings", "position_embeddings", "LayerNorm"):
        getattr(b.embeddings, name).load_state_dict(getattr(a.embeddings, name).state_dict())
    joint = stitch(a, b, layernorm="concat")
    entering = [model(IDS, output_hidden_states=True).hidden_states[0] for model in (joint, a, b)]
    torch.testing.assert_close(entering[0], torch.cat(entering[1:], dim=-1), atol=1e-5, rtol=0)


def test_a_model_is_stitched_in_depth_from_its_first_layer_on(tiny: Callable) -> None:
    model = _trained_like(FlexiBERTForMaskedLM(tiny(SA, **VECTORS)))
    joined = stitch_depth(model, model, [IDS], lower_layers=1, upper_start=0)
    assert joined.config.num_hidden_layers == 4
    assert joined(IDS).logits.isfinite().all()


def test_pruned_models_keep_the_projection(tiny: Callable) -> None:
    model = _trained_like(FlexiBERTForSequenceClassification(tiny(SA, num_labels=2, **VECTORS)))
    examples = [{"input_ids": IDS, "labels": torch.tensor([0, 1, 1, 0])}]
    small = prune(model, density=0.5, examples=examples)
    assert torch.equal(small.bert.embeddings.projection.weight, model.bert.embeddings.projection.weight)
    assert count_parameters(small.config.model_spec, small.config) == small.bert.num_parameters()


def test_an_empty_first_layer_stays_where_states_do_not_come_from_a_layer_norm(tiny: Callable) -> None:
    model = FlexiBERTModel(tiny(SA, **VECTORS)).eval()
    layer = model.encoder.layer[0]
    with torch.no_grad():
        for linear in (layer.attention.output.dense, layer.output.dense):
            linear.weight.zero_()
            linear.bias.zero_()
    before = model(IDS)[0]
    small = extract_submodel(model, structure_of(model))
    assert small.config.num_hidden_layers == 2
    torch.testing.assert_close(small(IDS)[0], before, atol=1e-5, rtol=0)
