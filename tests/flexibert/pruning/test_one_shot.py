"""Importance, the choice of what goes, least squares, and the same in the space of specs."""

import pytest
import torch

from design_space import ModelSpec
from design_space.subarchitectures import neuron_multiple
from flexibert import count_parameters, from_bert, prune, stitch
from flexibert.pruning import linear_weights, prune_spec
from flexibert.pruning.importance import importance_of
from tests.flexibert.pruning.small_models import bert, deit, flexibert, inputs_of, logits


def examples_of(model, batches=3, batch=8):
    found = [inputs_of(model, batch=batch, seed=number) for number in range(batches)]
    return [{**x, "labels": torch.randint(2, (batch,), generator=torch.Generator().manual_seed(1))} for x in found]


def spec_of(model):
    return from_bert(model).config.model_spec if model.config.model_type == "bert" else model.config.model_spec


def loss_of(model, batch):
    with torch.no_grad():
        return model.eval()(**batch).loss.item()


def test_importance_is_the_squared_first_order_change_of_each_examples_loss():
    model = flexibert("mixed").eval()
    batch = examples_of(model, batches=1, batch=2)[0]
    found = importance_of(model, [batch])
    output = model.bert.encoder.layer[0].attention.output.dense
    dense = model.bert.encoder.layer[1].output.dense
    step, expected = 1e-2, torch.zeros(2)
    for row in range(2):
        single = {name: x[row : row + 1] for name, x in batch.items()}
        for number, (linear, channels) in enumerate(((output, slice(16, 32)), (dense, slice(5, 6)))):
            losses = []
            for factor in (1 + step, 1 - step):
                original = linear.weight.detach().clone()
                with torch.no_grad():
                    linear.weight[:, channels] *= factor
                    losses.append(loss_of(model, single))
                    linear.weight.copy_(original)
            expected[number] += ((losses[0] - losses[1]) / (2 * step)) ** 2 / 2
    torch.testing.assert_close(found[0].heads[1], expected[0], rtol=2e-2, atol=1e-7)
    torch.testing.assert_close(found[1].neurons[1][5], expected[1], rtol=2e-2, atol=1e-7)
    assert [len(x) for x in found[1].neurons] == [96, 128]


@pytest.mark.parametrize("positions", ["absolute", "relative_key", "relative_key_query"])
def test_heads_that_are_left_may_read_fewer_projections_than_all_did(positions):
    model = flexibert("deep hetero", position_embedding_type=positions)
    layers = spec_of(model).to_dict()
    layers["o"] = [["l_dft_16"], *layers["o"][1:]]
    small = prune(model, spec=ModelSpec.from_dict(layers), examples=examples_of(model))
    names = {name.rpartition(".")[0] for name in small.bert.encoder.layer[0].attention.self.state_dict()}
    assert names >= {"value"}
    assert ("query" in names) == (positions != "absolute")
    own, before = (model.state_dict()["bert.encoder.layer.0.attention.self.value.bias"] for model in (small, model))
    torch.testing.assert_close(own, before[-16:])  # of a layer whose input is the parent's
    assert logits(small, **inputs_of(small)).isfinite().all()


def test_units_without_effect_go_first_and_nothing_is_lost():
    model = bert()
    layer = model.bert.encoder.layer[1]
    with torch.no_grad():
        layer.attention.output.dense.weight[:, 32:64] = 0
        layer.output.dense.weight[:, 64:] = 0
    parent = spec_of(model)
    share = 1 - (2 * 4 * 64 * 16 + 2 * 64 * 64) / linear_weights(parent)
    examples = examples_of(model)
    small = prune(model, density=share, examples=examples, repair=False)
    assert [len(x.heads) for x in small.config.model_spec.layers] == [4, 2, 4]
    assert [x.feed_forward for x in small.config.model_spec.layers] == [(128,), (64,), (128,)]
    inputs = inputs_of(model)
    torch.testing.assert_close(logits(small, **inputs), logits(model, **inputs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [bert, flexibert, lambda: flexibert("hetero"), lambda: flexibert("mixed"), deit])
@pytest.mark.parametrize("density", [0.75, 0.5])
def test_density_is_reached_from_below_and_closely(make, density):
    model = make()
    small = prune(model, density=density, examples=examples_of(model, batches=1), repair=False)
    whole = prune(model, density=1.0, examples=examples_of(model, batches=1)).config.model_spec
    share = linear_weights(small.config.model_spec) / linear_weights(whole)
    assert density - 0.06 < share <= density


def test_parameters_count_the_whole_model():
    model = bert()
    before = sum(x.numel() for x in model.parameters())
    small = prune(model, parameters=before - 40000, examples=examples_of(model))
    assert before - 45000 < sum(x.numel() for x in small.parameters()) <= before - 40000


def test_latency_is_measured(monkeypatch):
    from flexibert.pruning import one_shot

    model = bert()
    monkeypatch.setattr(one_shot, "_measured_ms", lambda found, batch: linear_weights(found.config.model_spec) / 1000)
    small = prune(model, latency_ms=60.0, examples=examples_of(model))
    assert 50 < linear_weights(small.config.model_spec) / 1000 <= 60
    assert spec_of(model) == prune(model, latency_ms=1000.0, examples=examples_of(model)).config.model_spec
    with pytest.raises(ValueError, match="'latency_ms' must be at least .* for this model on this machine. Got 0.01"):
        prune(model, latency_ms=0.01, examples=examples_of(model))


@pytest.mark.parametrize("make", [bert, lambda: flexibert("wma"), lambda: flexibert("mixed"), deit])
def test_repair_brings_outputs_back_towards_the_parents(make):
    model = make()
    examples = examples_of(model, batches=8, batch=16)
    unseen = inputs_of(model, batch=16, seed=99)
    wanted = logits(model, **unseen)
    errors = [
        (logits(prune(model, density=0.6, examples=examples, repair=repair), **unseen) - wanted).square().mean()
        for repair in (False, True)
    ]
    assert errors[1] < 0.7 * errors[0]


def test_the_parent_is_not_changed():
    model = bert().train()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    prune(model, density=0.5, examples=examples_of(model))
    assert model.training
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


PARENT = {"l": 2, "o": ["sa", "sa"], "h": [128, 64], "n": [4, 4], "f": [[512], [256, 64]], "p": ["sdp", "wma"]}


@pytest.mark.parametrize("density", [1.0, 0.8, 0.5, 0.3])
def test_a_specs_child_is_within_its_density_and_known_without_a_model(density):
    spec = ModelSpec.from_dict(PARENT)
    child = prune(spec, density=density)
    share = linear_weights(child) / linear_weights(spec)
    assert density - 0.05 < share <= density
    assert prune(spec, density=density).hash == child.hash
    assert all(a.hidden_size == b.hidden_size for a, b in zip(child.layers, spec.layers, strict=True))
    if density == 1.0:
        assert child == spec


def test_a_specs_child_takes_the_same_share_of_heads():
    child = prune_spec(ModelSpec.from_dict(PARENT), density=0.5)
    assert child.to_dict()["o"] == [["sa_sdp_32"] * 2, ["sa_wma_16"] * 2]
    assert all(a % neuron_multiple(b) == 0 for a, b in ((child.layers[0].feed_forward[0], 512),))


def test_linear_weights_are_those_of_six_matrices_a_layer():
    spec = ModelSpec.from_dict({"l": 1, "o": ["sa"], "h": [64], "n": [4], "f": [[128]], "p": ["sdp"]})
    assert linear_weights(spec) == 4 * 64 * 64 + 2 * 64 * 128


def test_parameters_of_a_spec_include_the_embeddings():
    spec = ModelSpec.from_dict(PARENT)
    child = prune(spec, parameters=count_parameters(spec) - 100_000)
    assert 0 <= count_parameters(spec) - 100_000 - count_parameters(child) < 20_000


def test_standard_transforms_and_convolutions_keep_their_heads():
    parent = ModelSpec.from_dict(
        {"l": 2, "o": ["l", "sa"], "h": [64] * 2, "n": [4] * 2, "f": [[512]] * 2, "p": ["dft", "sdp"]}
    )
    child = prune(parent, density=0.5)
    assert child.format == "standard"
    assert [len(layer.heads) for layer in child.layers] == [4, 4]
    assert linear_weights(child) <= 0.5 * linear_weights(parent)


@pytest.mark.parametrize("make", [bert, lambda: flexibert("hetero"), deit])
def test_a_model_becomes_the_child_that_was_proposed(make):
    model = make()
    parent = prune(model, density=1.0, examples=examples_of(model, batches=1)).config.model_spec
    child = prune(parent, density=0.5)
    small = prune(model, spec=child, examples=examples_of(model, batches=1))
    assert small.config.model_spec.hash == child.hash
    assert linear_weights(child) < linear_weights(parent)


EXAMPLE = {"density": 0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Exactly one of density, parameters, latency_ms, spec must be given. Got none"),
        ({"density": 0.5, "parameters": 9}, "Exactly one of .* Got density, parameters"),
        ({"density": 1.5}, r"'density' must be in \(0, 1\]: .* Got 1.5"),
        ({"density": 0.01}, "The target of .* linear weights must be at least .*"),
        ({"density": float("nan")}, r"'density' must be in \(0, 1\]: .* Got nan"),
        ({"parameters": float("nan")}, "The target of nan parameters must be at least"),
        ({"latency_ms": float("nan")}, "'latency_ms' must be at least .* Got nan"),
        ({"density": 0.5, "examples": []}, "'examples' must hold at least one batch. Got none"),
    ],
    ids=["no target", "two targets", "no share", "too small", "no density", "no number", "no time", "no examples"],
)
def test_mistakes_are_named(options, message):
    model = bert()
    with pytest.raises(ValueError, match=message):
        prune(model, **{"examples": examples_of(model, batches=1)} | options)


def test_examples_without_labels_are_refused():
    model = bert()
    with pytest.raises(ValueError, match="'examples' must be batches with labels"):
        prune(model, density=0.5, examples=[inputs_of(model)])


def test_a_spec_that_is_no_part_of_the_models_is_refused():
    model = bert()
    other = ModelSpec.from_dict({"l": 3, "o": [["sa_wma_16"]] * 3, "h": [64] * 3, "f": [[256]] + [[8]] * 2})
    with pytest.raises(
        ValueError, match=r"at most 0 heads sa_wma_16(.|\n)*layer 0 must have feed-forward widths of at most"
    ):
        prune(model, spec=other, examples=examples_of(model, batches=1))


def test_a_spec_cannot_shrink_below_one_head_a_layer():
    with pytest.raises(ValueError, match="must be at least"):
        prune(ModelSpec.from_dict(PARENT), density=0.01)
    with pytest.raises(ValueError, match="The target of nan parameters must be at least"):
        prune(ModelSpec.from_dict(PARENT), parameters=float("nan"))
    with pytest.raises(ValueError, match="Exactly one of 'density' and 'parameters'"):
        prune(ModelSpec.from_dict(PARENT))


def test_grouped_architectures_are_refused():
    stitched = stitch(flexibert(), flexibert())
    message = "A grouped architecture cannot be pruned. Got 2 groups; prune its models, then stitch them"
    with pytest.raises(ValueError, match=message):
        prune(stitched.config.model_spec, density=0.5)
    with pytest.raises(ValueError, match=message):
        prune(stitched, density=0.5, examples=examples_of(stitched, batches=1))
