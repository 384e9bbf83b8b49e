"""Stitching: grouped models reproduce their sources; block-diagonal ones reproduce every linear part of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from design_space import ModelSpec
from flexibert import (
    FlexiBERTForMaskedLM,
    FlexiBERTForMultipleChoice,
    FlexiBERTForPreTraining,
    FlexiBERTForQuestionAnswering,
    FlexiBERTForSequenceClassification,
    FlexiBERTForTokenClassification,
    FlexiBERTModel,
    cost_of,
    count_parameters,
    random_like,
    stitch,
    to_bert,
)
from flexibert.mixing.attention import Padding
from flexibert.morphisms.block_diagonal import Filling, joint_encoder_parameters

A = {"l": 2, "o": ["sa", "c"], "h": [16, 24], "n": [2, 3], "f": [[32], [24, 32]], "p": ["wma", 3]}
B = {"l": 2, "o": [["sa_sdp_4", "l_dft_4", "c_3_4"], ["c_5_8"]], "h": [8, 12], "f": [[16], [16]]}
SDP = {"l": 2, "o": ["sa", "sa"], "h": [16, 16], "n": [2, 2], "f": [[32], [24]], "p": ["sdp", "sdp"]}
SDP_WIDE = {"l": 2, "o": ["sa", "sa"], "h": [24, 24], "n": [3, 3], "f": [[16], [24]], "p": ["sdp", "sdp"]}
IDS = torch.tensor([[7, 3, 1, 9, 40, 8, 2], [4, 6, 30, 0, 0, 0, 0]])
MASK = (IDS != 0).long()
HEADS = [
    FlexiBERTForMaskedLM,
    FlexiBERTForSequenceClassification,
    FlexiBERTForTokenClassification,
    FlexiBERTForMultipleChoice,
]


def _pair(tiny: Callable, model_class: type, first: dict, second: dict, **options: object) -> list:
    models = [model_class(tiny(each, **options)).eval() for each in (first, second)]
    with torch.no_grad():
        for model in models:
            for name, parameter in model.named_parameters():
                if "LayerNorm" in name or name.endswith("bias"):
                    parameter.normal_(0.5, 0.3)  # not the initial values, which would hide a missing copy
    return models


def test_a_grouped_stitch_has_both_sources_states_side_by_side(tiny: Callable) -> None:
    a, b = _pair(tiny, FlexiBERTModel, A, B)
    kept = [{name: value.clone() for name, value in model.state_dict().items()} for model in (a, b)]
    both = stitch(a, b)(IDS, attention_mask=MASK, output_hidden_states=True)
    first, second = (model(IDS, attention_mask=MASK, output_hidden_states=True) for model in (a, b))
    for got, x, y in zip(both.hidden_states, first.hidden_states, second.hidden_states, strict=True):
        torch.testing.assert_close(got, torch.cat([x, y], dim=-1), atol=1e-6, rtol=0)
    pooled = torch.cat([first.pooler_output, second.pooler_output], dim=-1)
    torch.testing.assert_close(both.pooler_output, pooled, atol=1e-6, rtol=0)
    for model, before in zip((a, b), kept, strict=True):
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("model_class", HEADS)
def test_the_logits_of_a_grouped_stitch_are_the_mean_of_its_sources(model_class: type, tiny: Callable) -> None:
    a, b = _pair(tiny, model_class, A, B, tie_word_embeddings=True)
    inputs = (IDS[:, None], MASK[:, None]) if model_class is FlexiBERTForMultipleChoice else (IDS, MASK)
    mean = (a(*inputs).logits + b(*inputs).logits) / 2
    torch.testing.assert_close(stitch(a, b)(*inputs).logits, mean, atol=1e-5, rtol=0)


def test_answers_of_a_grouped_stitch_are_the_mean_too(tiny: Callable) -> None:
    a, b = _pair(tiny, FlexiBERTForQuestionAnswering, A, B)
    got, first, second = (model(IDS, MASK) for model in (stitch(a, b), a, b))
    torch.testing.assert_close(got.end_logits, (first.end_logits + second.end_logits) / 2, atol=1e-5, rtol=0)


def test_three_models_stitch_one_after_another(tiny: Callable) -> None:
    a, b = _pair(tiny, FlexiBERTModel, A, B)
    wide = stitch(stitch(a, b), a)
    assert wide.config.model_dict == {"groups": [A, B, A]}
    want = torch.cat([model(IDS, MASK).last_hidden_state for model in (a, b, a)], dim=-1)
    torch.testing.assert_close(wide(IDS, MASK).last_hidden_state, want, atol=1e-6, rtol=0)


def test_word_vectors_and_attention_weights_of_the_groups_stand_side_by_side(tiny: Callable) -> None:
    a, b = _pair(tiny, FlexiBERTModel, SDP, SDP_WIDE)
    wide = stitch(a, b)
    vectors = torch.cat([model.get_input_embeddings()(IDS) for model in (a, b)], dim=-1)
    torch.testing.assert_close(wide(inputs_embeds=vectors)[0], wide(IDS)[0])
    weights = wide(IDS, output_attentions=True).attentions
    first, second = (model(IDS, output_attentions=True).attentions for model in (a, b))
    torch.testing.assert_close(weights[1], torch.cat([first[1], second[1]], dim=1))
    with pytest.raises(NotImplementedError, match="a table of word vectors per group"):
        wide.resize_token_embeddings(50)


def test_a_grouped_model_learns_and_survives_its_folder(tiny: Callable, tmp_path: Path) -> None:
    a, b = _pair(tiny, FlexiBERTForSequenceClassification, A, B)
    wide = stitch(a, b).train()
    optimizer = torch.optim.Adam(wide.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        loss = wide(IDS, MASK, labels=torch.tensor([0, 1])).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    untouched = [name for name, p in wide.named_parameters() if p.grad is None or not p.grad.any()]
    assert losses[-1] < 0.1 * losses[0]
    assert not [name for name in untouched if not name.endswith("key.bias")]
    wide.eval().save_pretrained(tmp_path / "wide")
    again = FlexiBERTForSequenceClassification.from_pretrained(tmp_path / "wide").eval()
    assert torch.equal(again(IDS, MASK).logits, wide(IDS, MASK).logits)
    assert again.config.model_spec == wide.config.model_spec


def test_parameters_operations_and_distances_of_a_grouped_spec_are_known(tiny: Callable) -> None:
    a, b = _pair(tiny, FlexiBERTModel, A, B)
    wide = stitch(a, b)
    spec = wide.config.model_spec
    assert count_parameters(spec, wide.config) == sum(parameter.numel() for parameter in wide.parameters())
    cost = cost_of([spec, a.config.model_spec, b.config.model_spec], 8, wide.config, pooler=False)
    assert cost.flops_per_token[0] == cost.flops_per_token[1:].sum()
    graph_edit_distance = pytest.importorskip("embeddings", reason="needs the extra 'search'").graph_edit_distance
    assert graph_edit_distance(spec, spec) == 0
    others = [a.config.model_spec, b.config.model_spec, ModelSpec.from_dict({"groups": [A, A]})]
    assert all(graph_edit_distance(spec, other) == graph_edit_distance(other, spec) > 0 for other in others)


STANDARD_C = {"l": 1, "o": ["c"], "h": [16], "n": [4], "f": [[32]], "p": [3]}
PAIRS = {
    "standard sdp": (SDP, SDP_WIDE, "standard"),
    "standard c": (STANDARD_C, STANDARD_C | {"h": [24], "n": [6]}, "standard"),
    "wma and sdp": (SDP | {"p": ["wma", "wma"]}, SDP_WIDE, "hetero"),
    "standard and hetero": (
        SDP,
        {"l": 2, "o": [["c_3_8", "sa_wma_8", "c_5_8"], ["l_dct_8"]], "h": [16, 12], "f": [[8], [8]]},
        "hetero",
    ),
    "hetero": (
        {"l": 1, "o": [["l_dft_4", "c_5_4", "sa_wma_4"]], "h": [16], "f": [[32, 24]]},
        {"l": 1, "o": [["c_3_4", "sa_sdp_4"]], "h": [8], "f": [[16, 8]]},
        "hetero",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_every_linear_part_of_a_concat_stitch_is_both_sources_side_by_side(name: str, tiny: Callable) -> None:
    first, second, expected = PAIRS[name]
    a, b = _pair(tiny, FlexiBERTModel, first, second, position_embedding_type="absolute")
    wide = stitch(a, b, layernorm="concat")
    assert wide.config.model_spec.format == expected
    padding = Padding.from_mask(MASK, torch.float32)
    for ours, one, other in zip(wide.encoder.layer, a.encoder.layer, b.encoder.layer, strict=True):
        x, y = (torch.randn(2, 7, layer.output.dense.out_features) for layer in (one, other))
        got = ours.attention.output.dense(ours.attention.self(torch.cat([x, y], -1), padding, False)[0])
        want = [m.attention.output.dense(m.attention.self(z, padding, False)[0]) for m, z in ((one, x), (other, y))]
        torch.testing.assert_close(got, torch.cat(want, -1), atol=2e-5, rtol=1e-5)
        got = ours.output.dense(ours.intermediate(torch.cat([x, y], -1)))
        want = [m.output.dense(m.intermediate(z)) for m, z in ((one, x), (other, y))]
        torch.testing.assert_close(got, torch.cat(want, -1), atol=2e-5, rtol=1e-5)
        assert torch.equal(
            ours.output.LayerNorm.weight, torch.cat([one.output.LayerNorm.weight, other.output.LayerNorm.weight])
        )
        if ours.output.proj_head is not None:
            states = [m.output.proj_head(z) if m.output.proj_head else z for m, z in ((one, x), (other, y))]
            torch.testing.assert_close(ours.output.proj_head(torch.cat([x, y], -1)), torch.cat(states, -1))
    words = [model.embeddings.position_embeddings.weight for model in (a, b)]
    assert torch.equal(wide.embeddings.position_embeddings.weight, torch.cat(words, 1))


def test_equal_tables_of_relative_positions_are_shared(tiny: Callable) -> None:
    a, b = _pair(tiny, FlexiBERTModel, SDP, SDP_WIDE)
    with pytest.raises(ValueError, match="distance_embedding.weight' exists once in a joint model and differs between"):
        stitch(a, b, layernorm="concat")
    for one, other in zip(a.encoder.layer, b.encoder.layer, strict=True):
        one.attention.self.distance_embedding.load_state_dict(other.attention.self.distance_embedding.state_dict())
    wide = stitch(a, b, layernorm="concat")
    x, y = torch.randn(1, 5, 16), torch.randn(1, 5, 24)
    got = wide.encoder.layer[0].attention.self(torch.cat([x, y], -1), Padding(), False)[0]
    want = [m.encoder.layer[0].attention.self(z, Padding(), False)[0] for m, z in ((a, x), (b, y))]
    torch.testing.assert_close(got, torch.cat(want, -1), atol=1e-5, rtol=1e-5)


def test_off_diagonal_blocks_hold_the_constant_or_noise(tiny: Callable) -> None:
    a, b = _pair(tiny, FlexiBERTForSequenceClassification, SDP, SDP_WIDE, position_embedding_type="absolute")
    constant = stitch(a, b, layernorm="concat", epsilon=0.01)
    matrices = [constant.bert.encoder.layer[1].attention.self.value, constant.bert.pooler.dense]
    for weight in [matrix.weight for matrix in matrices]:
        assert (weight[:16, 16:] == 0.01).all()
        assert (weight[16:, :16] == 0.01).all()
    noisy, same, other = (
        stitch(a, b, layernorm="concat", noise_std=1e-3, seed=seed).bert.encoder.layer[0].intermediate.dense.weight
        for seed in (0, 0, 1)
    )
    assert torch.equal(noisy, same)
    assert not torch.equal(noisy, other)
    assert abs(float(noisy[:32, 16:].detach().std()) - 1e-3) < 1e-4
    assert torch.equal(noisy[:32, :16], a.bert.encoder.layer[0].intermediate.dense.weight)


def test_skip_leaves_layernorms_at_their_initial_values(tiny: Callable) -> None:
    a, b = _pair(tiny, FlexiBERTForMaskedLM, SDP, SDP_WIDE, position_embedding_type="absolute")
    skipped = {n: p for n, p in stitch(a, b, layernorm="skip").named_parameters() if "LayerNorm" in n}
    assert len(skipped) == 2 * 6
    assert all((p == (1 if n.endswith("weight") else 0)).all() for n, p in skipped.items())


@pytest.mark.parametrize("model_class", [FlexiBERTForMaskedLM, FlexiBERTForPreTraining])
@pytest.mark.parametrize("options", [{"layernorm": "concat"}, {"layernorm": "skip"}, {"noise_std": 0.1}])
def test_a_tied_decoder_gives_the_logits_of_one_of_its_own(model_class: type, options: dict, tiny: Callable) -> None:
    tied = _pair(tiny, model_class, SDP, SDP_WIDE, position_embedding_type="absolute", tie_word_embeddings=True)
    own = [model_class(tiny(model.config.model_dict, position_embedding_type="absolute")).eval() for model in tied]
    for theirs, model in zip(own, tied, strict=True):
        theirs.load_state_dict(model.state_dict())
    options = {"layernorm": "concat"} | options
    wide, expected = stitch(*tied, **options), stitch(*own, **options)
    assert wide.cls.predictions.decoder.weight is wide.bert.embeddings.word_embeddings.weight
    assert wide.num_parameters() == expected.num_parameters() - 41 * 40
    for got, want in zip(wide(IDS, MASK).to_tuple(), expected(IDS, MASK).to_tuple(), strict=True):
        torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-5)


THREE = {"l": 3, "o": ["sa"] * 3, "f": [[16]] * 3, "p": ["sdp"] * 3}
GROWING = THREE | {"h": [16, 24, 24], "n": [2, 3, 3]}
SHRINKING = THREE | {"h": [24, 24, 16], "n": [3, 3, 2]}


@pytest.mark.parametrize(
    ("model_dicts", "ties"), [((SDP, SDP_WIDE), (True, False)), ((GROWING, SHRINKING), (True, True))]
)
def test_decoders_that_are_no_tables_are_kept(model_dicts: tuple, ties: tuple, tiny: Callable) -> None:
    """One source is not tied, or its widths differ; the joint architecture could be."""
    a, b = (
        FlexiBERTForMaskedLM(tiny(each, position_embedding_type="absolute", tie_word_embeddings=tie))
        for each, tie in zip(model_dicts, ties, strict=True)
    )
    wide = stitch(a, b, layernorm="concat")
    decoders = [model.cls.predictions.decoder.weight for model in (a, b)]
    assert torch.equal(wide.cls.predictions.decoder.weight, torch.cat(decoders, dim=1) / 2)
    assert not wide.config.tie_word_embeddings


def test_a_random_second_source_is_repeatable_and_leaves_the_global_generator_alone(tiny: Callable) -> None:
    a = _pair(tiny, FlexiBERTModel, SDP, SDP)[0]
    state = torch.get_rng_state()
    one, same, other = random_like(a, seed=1), random_like(a, seed=1), random_like(a, ModelSpec.from_dict(B), seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one(IDS)[0], same(IDS)[0])
    assert other.config.model_dict == B
    wide = stitch(a, other)
    torch.testing.assert_close(wide(IDS)[0][..., :16], a(IDS)[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": -0.1, "layernorm": "concat"}, "'epsilon' must be 0 or above. Got -0.1"),
        ({"noise_std": -1, "layernorm": "skip"}, "'noise_std' must be 0 or above. Got -1"),
        ({"noise_std": 1, "epsilon": 1, "layernorm": "skip"}, "Only one of 'epsilon' and 'noise_std'"),
        ({"epsilon": 0.1}, "must be 0 with layernorm='grouped', which has no off-diagonal blocks"),
        ({"layernorm": "batch"}, "'layernorm' must be one of grouped, concat, skip. Got 'batch'"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str, tiny: Callable) -> None:
    a, b = _pair(tiny, FlexiBERTModel, SDP, SDP_WIDE)
    with pytest.raises(ValueError, match=message):
        stitch(a, b, **options)


def test_models_that_do_not_fit_together_are_refused(tiny: Callable) -> None:
    a = FlexiBERTModel(tiny(SDP))
    shallow = {key: value[:1] if isinstance(value, list) else 1 for key, value in SDP.items()}
    cases = [
        (FlexiBERTModel(tiny(SDP, vocab_size=50)), "'vocab_size' must be the same in both models. Got 41 and 50"),
        (FlexiBERTModel(tiny(shallow)), "must have the same number of layers. Got 2 and 1"),
        (FlexiBERTForMaskedLM(tiny(SDP)), "must be of one class. Got FlexiBERTModel and FlexiBERTForMaskedLM"),
        (torch.nn.Linear(2, 2), "must be FlexiBERT models of text. Got Linear"),
    ]
    for other, message in cases:
        with pytest.raises(ValueError, match=message):
            stitch(a, other)
    labels = [FlexiBERTForSequenceClassification(tiny(SDP, num_labels=number)) for number in (2, 3)]
    with pytest.raises(ValueError, match="'num_labels' must be the same in both models. Got 2 and 3"):
        stitch(*labels)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            SDP | {"o": ["sa", "l"], "p": ["sdp", "dft"]},
            SDP,
            "layer 1: a standard 'l' layer transforms its whole width",
        ),
        (STANDARD_C, STANDARD_C | {"n": [1]}, "layer 0: heads of one layer have one size. Got 4 and 16"),
        (STANDARD_C, STANDARD_C | {"h": [12], "n": [3]}, "needs an even number of heads here. Got 3"),
        (STANDARD_C, STANDARD_C | {"p": [5]}, "a standard 'c' layer is more than its heads"),
        (SDP, SDP | {"f": [[32], [24, 8]]}, "layer 1: feed-forward stacks must be equally deep. Got 1 and 2 widths"),
        (
            SDP | {"h": [16, 24], "n": [2, 3]},
            SDP | {"h": [24, 16], "n": [3, 2]},
            "layer 0: the sources change their widths, the joint width stays",
        ),
        ({"groups": [SDP, SDP]}, SDP, "A grouped model is stitched with layernorm='grouped' only"),
    ],
)
def test_mixing_that_no_one_architecture_has_is_refused(
    first: dict, second: dict, message: str, tiny: Callable
) -> None:
    a, b = _pair(tiny, FlexiBERTModel, first, second, position_embedding_type="absolute")
    with pytest.raises(ValueError, match=message):
        stitch(a, b, layernorm="concat")
    assert stitch(a, b)(IDS)[0].isfinite().all()


def test_the_noise_is_drawn_in_the_models_type(tiny: Callable) -> None:
    a, b = _pair(tiny, FlexiBERTModel, SDP, SDP_WIDE, position_embedding_type="absolute")
    wide = stitch(a.bfloat16(), b.bfloat16(), layernorm="concat", noise_std=0.1)
    assert {parameter.dtype for parameter in wide.parameters()} == {torch.bfloat16}
    values = dict(joint_encoder_parameters(a, b, wide.config.model_spec, Filling(0.5, 0, torch.Generator())))
    assert values["encoder.layer.0.attention.self.query.weight"][0, -1] == 0.5


def test_what_a_grouped_model_cannot_do_is_refused_with_the_reason(tiny: Callable) -> None:
    wide = stitch(*_pair(tiny, FlexiBERTModel, SDP, SDP, position_embedding_type="absolute"))
    with pytest.raises(ValueError, match=r"Weights of grouped \(stitched\) models are not transferred"):
        FlexiBERTModel(wide.config).load_model_from_source(wide)
    with pytest.raises(ValueError, match="This architecture has no BERT of the same function"):
        to_bert(wide)
    with pytest.raises(ValueError, match="in the standard format. Got the grouped format; use 'model_dict='"):
        tiny(SDP).from_model_dict(wide.config.model_dict)
