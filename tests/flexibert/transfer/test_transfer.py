"""Weight transfer between built networks: the measured overlap, the values that OD copies, the maps that RP uses."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from design_space import Head, Layer, ModelSpec
from flexibert import (
    FlexiBERTForMaskedLM,
    FlexiBERTForSequenceClassification,
    FlexiBERTModel,
    transfer_overlap,
)

OPERATIONS = [("sa", "sdp"), ("sa", "wma"), ("l", "dft"), ("l", "dct"), ("c", 3), ("c", 5)]
WIDE = {"l": 2, "o": ["sa", "sa"], "h": [24, 24], "n": [2, 2], "f": [[32], [40]], "p": ["wma", "wma"]}
NARROW = {"l": 2, "o": ["sa", "sa"], "h": [16, 16], "n": [2, 2], "f": [[32], [24]], "p": ["wma", "wma"]}
IDS = torch.tensor([[7, 3, 1, 9, 40], [4, 6, 30, 0, 0]])


def _random_spec(rng: random.Random, is_hetero: bool) -> ModelSpec:
    layers = []
    for _ in range(rng.randint(1, 3)):
        stack = tuple(rng.choice([16, 24]) for _ in range(rng.randint(1, 2)))
        if is_hetero:
            size, num_heads = rng.choice([4, 8]), rng.randint(1, 4)
            layers.append(
                Layer(rng.choice([16, 24]), tuple(Head(*rng.choice(OPERATIONS), size) for _ in range(num_heads)), stack)
            )
        else:
            num_heads, width = rng.choice([(1, 16), (2, 16), (4, 16), (3, 24), (2, 24)])
            operation = rng.choice(OPERATIONS[:2] + OPERATIONS[4:5])
            layers.append(Layer(width, (Head(*operation, width // num_heads),) * num_heads, stack))
    return ModelSpec(tuple(layers), "hetero" if is_hetero else "standard")


def _snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("mode", ["OD", "RP"])
@pytest.mark.parametrize("seed", range(16))
def test_the_measured_overlap_is_the_predicted_one_and_the_share_of_changed_entries(
    seed: int, mode: str, tiny: Callable
) -> None:
    rng = random.Random(seed)
    source_spec, target_spec = (_random_spec(rng, seed % 2 == 1) for _ in range(2))
    positions = rng.choice(["absolute", "relative_key", "relative_key_query"])
    source, target = (tiny(spec.to_dict(), position_embedding_type=positions) for spec in (source_spec, target_spec))
    source, target = FlexiBERTModel(source), FlexiBERTModel(target, transfer_mode=mode)
    with torch.no_grad():
        for model in (source, target):
            for parameter in model.parameters():
                parameter.normal_()  # LayerNorms and biases too: every transferred entry changes
    before, source_before = _snapshot(target), _snapshot(source)
    overlap = target.load_model_from_source(source)
    changed = sum(int((parameter != before[name]).sum()) for name, parameter in target.named_parameters())
    assert overlap == changed / sum(value.numel() for value in before.values())
    assert overlap == transfer_overlap(source_spec, target_spec, target.config, mode=mode)
    assert 0 < overlap <= 1
    assert target(IDS)[0].isfinite().all()
    assert all(torch.equal(value, source_before[name]) for name, value in source.named_parameters())


@pytest.mark.parametrize("mode", ["OD", "RP"])
def test_identical_specs_give_overlap_one_equal_outputs_and_no_shared_storage(
    mode: str, model_dict: dict, tiny: Callable
) -> None:
    source = FlexiBERTModel(tiny(model_dict)).eval()
    target = FlexiBERTModel(tiny(model_dict), transfer_mode=mode).eval()
    assert not torch.equal(target(IDS)[0], source(IDS)[0])
    assert target.load_model_from_source(source) == 1.0
    assert torch.equal(target(IDS)[0], source(IDS)[0])
    storages = {parameter.data_ptr() for parameter in source.parameters()}
    assert not storages & {parameter.data_ptr() for parameter in target.parameters()}


def test_hetero_queries_keys_and_values_go_to_the_matched_heads(tiny: Callable) -> None:
    """The original copies them only under a debug flag, and shares W between the two models."""
    base = {"l": 1, "h": [16], "f": [[32]]}
    source = FlexiBERTModel(tiny(base | {"o": [["sa_sdp_8", "sa_wma_8", "c_3_8", "sa_wma_8"]]}))
    target = FlexiBERTModel(tiny(base | {"o": [["sa_wma_8", "l_dft_8", "sa_wma_8", "c_3_8"]]}))
    before = _snapshot(target)
    target.load_model_from_source(source)
    ours, theirs = target.encoder.layer[0].attention, source.encoder.layer[0].attention
    for name in ("query", "key", "value"):
        mine, other = getattr(ours.self, name), getattr(theirs.self, name)
        for place, matched in [(0, 1), (2, 3), (3, 2)]:
            rows, from_rows = slice(8 * place, 8 * place + 8), slice(8 * matched, 8 * matched + 8)
            assert torch.equal(mine.weight[rows], other.weight[from_rows])
            assert torch.equal(mine.bias[rows], other.bias[from_rows])
            assert torch.equal(ours.output.dense.weight[:, rows], theirs.output.dense.weight[:, from_rows])
        assert torch.equal(mine.weight[8:16], before[f"encoder.layer.0.attention.self.{name}.weight"][8:16])
    assert torch.equal(ours.self.W0, theirs.self.W0)
    assert torch.equal(ours.self.W1, theirs.self.W1)
    assert ours.self.W0.data_ptr() != theirs.self.W0.data_ptr()
    assert torch.equal(ours.self.conv_kernel_layer0.weight, theirs.self.conv_kernel_layer0.weight)


def test_od_copies_the_leading_entries_of_each_head(tiny: Callable) -> None:
    source, target = FlexiBERTModel(tiny(WIDE)), FlexiBERTModel(tiny(NARROW), transfer_mode="OD")
    target.load_model_from_source(source)
    assert torch.equal(target.embeddings.word_embeddings.weight, source.embeddings.word_embeddings.weight[:, :16])
    ours, theirs = target.encoder.layer[1], source.encoder.layer[1]
    rows = [*range(8), *range(12, 20)]  # two heads of 8 from two heads of 12
    assert torch.equal(ours.attention.self.query.weight, theirs.attention.self.query.weight[rows][:, :16])
    assert torch.equal(ours.attention.output.dense.weight, theirs.attention.output.dense.weight[:16][:, rows])
    assert torch.equal(ours.attention.self.W, theirs.attention.self.W[:8, :8])
    assert torch.equal(ours.intermediate.dense.weight, theirs.intermediate.dense.weight[:24, :16])
    assert torch.equal(ours.output.LayerNorm.weight, theirs.output.LayerNorm.weight[:16])


@pytest.mark.parametrize("mode", ["OD", "RP"])
def test_a_larger_target_keeps_its_own_values_outside_the_leading_part(mode: str, tiny: Callable) -> None:
    source, target = FlexiBERTModel(tiny(NARROW)), FlexiBERTModel(tiny(WIDE), transfer_mode=mode)
    before = target.embeddings.word_embeddings.weight.detach().clone()
    target.load_model_from_source(source)
    after = target.embeddings.word_embeddings.weight
    assert torch.equal(after[:, :16], source.embeddings.word_embeddings.weight)
    assert torch.equal(after[:, 16:], before[:, 16:])


def _map_between(target: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """P with target = source PT, from rows enough to determine it."""
    return torch.linalg.lstsq(source.double(), target.double()).solution.T


def test_rp_uses_one_gaussian_map_for_all_that_reads_or_writes_the_residual_stream(tiny: Callable) -> None:
    source = FlexiBERTModel(tiny(WIDE))
    target = FlexiBERTModel(tiny(NARROW), transfer_mode="RP")
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.normal_()
    target.load_model_from_source(source, seed=3)
    P = _map_between(
        target.embeddings.word_embeddings.weight.detach(), source.embeddings.word_embeddings.weight.detach()
    )
    assert P.shape == (16, 24)
    for index in (0, 1):
        ours, theirs = target.encoder.layer[index], source.encoder.layer[index]
        neurons = min(ours.intermediate.dense.out_features, theirs.intermediate.dense.out_features)
        reads = theirs.intermediate.dense.weight.double()[:neurons] @ P.T
        writes = P @ theirs.output.dense.weight.double()[:, :neurons]
        torch.testing.assert_close(ours.intermediate.dense.weight[:neurons].double(), reads, atol=1e-4, rtol=0)
        torch.testing.assert_close(ours.output.dense.weight.double()[:, :neurons], writes, atol=1e-4, rtol=0)
        torch.testing.assert_close(
            ours.output.dense.bias.double(), P @ theirs.output.dense.bias.double(), atol=1e-4, rtol=0
        )
        weights = P.square() / P.square().sum(1, keepdim=True)
        norm = weights @ theirs.output.LayerNorm.weight.double()
        torch.testing.assert_close(ours.output.LayerNorm.weight.double(), norm, atol=1e-4, rtol=0)
        R = _map_between(
            ours.attention.self.distance_embedding.weight.detach(),
            theirs.attention.self.distance_embedding.weight.detach(),
        )
        matrix = R @ theirs.attention.self.W.double() @ R.T
        torch.testing.assert_close(ours.attention.self.W.double(), matrix, atol=1e-4, rtol=0)
        first_query = R @ theirs.attention.self.query.weight.double()[:12] @ P.T
        torch.testing.assert_close(ours.attention.self.query.weight[:8].double(), first_query, atol=1e-4, rtol=0)
    pooled = P @ source.pooler.dense.weight.double() @ P.T
    torch.testing.assert_close(target.pooler.dense.weight.double(), pooled, atol=1e-4, rtol=0)


def test_rp_entries_have_variance_one_over_the_projected_size_and_keep_lengths(tiny: Callable) -> None:
    wide = {"l": 1, "o": ["sa"], "h": [256], "n": [2], "f": [[8]], "p": ["sdp"]}
    source = FlexiBERTModel(tiny(wide, vocab_size=300))
    target = FlexiBERTModel(tiny(wide | {"h": [128]}, vocab_size=300), transfer_mode="RP")
    target.load_model_from_source(source)
    theirs, ours = source.embeddings.word_embeddings.weight.detach(), target.embeddings.word_embeddings.weight.detach()
    P = _map_between(ours, theirs)
    assert abs(float(P.std()) * 128**0.5 - 1) < 0.02
    assert abs(float(P.mean())) < 0.002
    lengths = ours[1:].norm(dim=1) / theirs[1:].norm(dim=1)
    assert abs(float(lengths.mean()) - 1) < 0.05


def test_rp_is_repeatable_and_depends_on_the_seed(tiny: Callable) -> None:
    source = FlexiBERTModel(tiny(WIDE))
    results = []
    for seed in (0, 0, 1):
        target = FlexiBERTModel(tiny(NARROW), transfer_mode="RP")
        torch.rand(7)  # the global generator has no part in it
        target.load_model_from_source(source, seed=seed)
        results.append(target.embeddings.word_embeddings.weight)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_heads_of_one_class_are_transferred_with_the_encoder(tiny: Callable) -> None:
    for model_class, name in [
        (FlexiBERTForMaskedLM, "cls.predictions"),
        (FlexiBERTForSequenceClassification, "classifier"),
    ]:
        source, same, narrow = (model_class(tiny(each)).eval() for each in (WIDE, WIDE, NARROW))
        assert same.load_model_from_source(source) == 1.0
        assert torch.equal(same(IDS).logits, source(IDS).logits)
        before = _snapshot(narrow)
        assert narrow.load_model_from_source(source) == 1.0  # a part of the source fills all of the smaller target
        filled = [key for key in before if key.startswith(name) and key.endswith("weight") and "LayerNorm" not in key]
        assert filled
        assert not [key for key in filled if torch.equal(narrow.get_parameter(key), before[key])]


def test_only_the_encoder_is_shared_between_models_of_different_tasks(tiny: Callable) -> None:
    source = FlexiBERTForMaskedLM(tiny(WIDE)).eval()
    target = FlexiBERTForSequenceClassification(tiny(WIDE, num_labels=3)).eval()
    classifier = target.classifier.weight.detach().clone()
    overlap = target.load_model_from_source(source)
    assert torch.equal(target.bert(IDS)[0], source.bert(IDS)[0])
    assert torch.equal(target.classifier.weight, classifier)
    pooler = 24 * 24 + 24  # a masked-LM model has none to give
    assert overlap == 1 - pooler / sum(parameter.numel() for parameter in target.bert.parameters())
    other_labels = FlexiBERTForSequenceClassification(tiny(WIDE, num_labels=2))
    weight = other_labels.classifier.weight.detach().clone()
    assert other_labels.load_model_from_source(target) == 1.0
    assert torch.equal(other_labels.classifier.weight, weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 50}, "'vocab_size' must be the same in both models. Got 50 in the source and 41 in the target"),
        ({"max_position_embeddings": 20}, "'max_position_embeddings' must be the same in both models. Got 20"),
        ({"type_vocab_size": 3}, "'type_vocab_size' must be the same"),
        (
            {"position_embedding_type": "absolute"},
            "'position_embedding_type' must be the same in both models. Got 'absolute'",
        ),
    ],
)
def test_models_that_cannot_be_compared_are_refused_and_left_alone(options: dict, message: str, tiny: Callable) -> None:
    target = FlexiBERTModel(tiny(NARROW))
    before = _snapshot(target)
    with pytest.raises(ValueError, match=message):
        target.load_model_from_source(FlexiBERTModel(tiny(NARROW, **options)))
    assert all(torch.equal(value, before[name]) for name, value in target.named_parameters())


def test_an_error_on_the_way_leaves_the_target_unchanged(tiny: Callable) -> None:
    source, target = FlexiBERTModel(tiny(NARROW)), FlexiBERTModel(tiny(NARROW))
    before: dict[str, Any] = _snapshot(target)
    del source.encoder.layer[1].output.dense.bias
    with pytest.raises(AttributeError):
        target.load_model_from_source(source)
    assert all(torch.equal(value, before[name]) for name, value in target.named_parameters())


def test_bad_modes_formats_and_sources_are_refused(tiny: Callable) -> None:
    with pytest.raises(
        ValueError,
        match=r"'transfer_mode' must be 'OD' \(ordered\), 'RP' \(random projection\) or 'consistent'. Got 'XY'",
    ):
        FlexiBERTModel(tiny(NARROW), transfer_mode="XY")
    hetero = FlexiBERTModel(tiny({"l": 1, "o": [["sa_sdp_8"]], "h": [16], "f": [[32]]}))
    with pytest.raises(
        ValueError, match=r"models of one format. Got a source in the hetero and a target in the standard format"
    ):
        FlexiBERTModel(tiny(NARROW)).load_model_from_source(hetero)
    with pytest.raises(ValueError, match=r"must be a FlexiBERT model. Got Linear"):
        FlexiBERTModel(tiny(NARROW)).load_model_from_source(torch.nn.Linear(2, 2))
