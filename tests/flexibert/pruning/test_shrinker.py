"""Any sub-architecture of a trained model, with weights that keep most of what it computes."""

import pytest
import torch

from design_space import Head, Layer, ModelSpec
from flexibert import (
    FlexiBERTForMaskedLM,
    FlexiBERTForQuestionAnswering,
    FlexiBERTForTokenClassification,
    from_bert,
    prune,
    stitch,
)
from flexibert.pruning import Shrinker, holds, shrinker
from flexibert.pruning.parent_states import ParentStates
from tests.flexibert.pruning.small_models import MODEL_DICTS, bert, deit, flexibert, inputs_of, logits
from tests.flexibert.pruning.test_one_shot import examples_of


def hetero(*layers, width=64):
    """A spec of layers written as (heads, feed-forward widths)."""
    return ModelSpec(
        tuple(Layer(width, tuple(Head.parse(head) for head in heads), tuple(widths)) for heads, widths in layers),
        "hetero",
    )


def spec_of(model):
    return from_bert(model).config.model_spec if model.config.model_type == "bert" else model.config.model_spec


def cut(spec, places, *, heads=1.0, neurons=1.0, width=1.0):
    """The layers at some places, with shares of their heads, neurons and channels."""
    layers = []
    for place in places:
        layer = spec.layers[place]
        of_heads = layer.heads[: max(1, int(heads * len(layer.heads)))]
        widths = tuple(int(neurons * of_width) for of_width in layer.feed_forward)
        layers.append(Layer(int(width * layer.hidden_size), of_heads, widths))
    return ModelSpec(tuple(layers), spec.format if heads == width == 1 else "hetero")


CUTS = {
    "depth": {"places": [0, 2]},
    "one layer": {"places": [1], "heads": 0.5, "neurons": 0.5},
    "width": {"places": [0, 1, 2], "width": 0.75},
    "all": {"places": [0, 2], "heads": 0.5, "neurons": 0.5, "width": 0.5},
}
MAKERS = {"bert": bert, "deit": lambda: deit(num_hidden_layers=3), "hetero": lambda: flexibert("deep hetero")}


@pytest.mark.parametrize("cut_by", CUTS)
@pytest.mark.parametrize("kind", MAKERS)
def test_a_child_has_exactly_the_spec_and_repair_brings_its_states_towards_the_parents(kind, cut_by):
    model = MAKERS[kind]()
    examples, unseen = examples_of(model, batches=12, batch=16), inputs_of(model, batch=32, seed=99)
    making = Shrinker(model, examples)
    child = cut(making.spec, **CUTS[cut_by])
    wanted = logits(model, **unseen)
    errors = []
    for repair in (False, True):
        small = making.child(child, repair=repair)
        assert small.config.model_spec == child
        assert type(small) is type(making.parent)
        errors.append(float((logits(small, **unseen) - wanted).square().mean()))
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("kind", MAKERS)
def test_the_whole_computes_the_same(kind):
    model = MAKERS[kind]()
    making = Shrinker(model, examples_of(model))
    inputs = inputs_of(model, seed=5)
    torch.testing.assert_close(logits(making.child(making.spec), **inputs), logits(model, **inputs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", MAKERS)
def test_recorded_states_are_those_of_the_model(kind):
    making = Shrinker(MAKERS[kind](), examples_of(MAKERS[kind](), batches=2))
    states = ParentStates(making.parent, making.batches)
    inputs = [{name: x for name, x in batch.items() if name != "labels"} for batch in making.batches]
    with torch.no_grad():
        found = [making.parent(**batch, output_hidden_states=True).hidden_states for batch in inputs]
    for place, batches in enumerate(zip(*found, strict=True)):
        torch.testing.assert_close(states.entering(place), states.tokens.joined(batches), rtol=0, atol=1e-4)


def test_a_layer_that_does_nothing_goes_first_and_nothing_is_lost():
    model = bert()
    with torch.no_grad():
        layer = model.bert.encoder.layer[1]
        for linear in (layer.attention.output.dense, layer.output.dense):
            linear.weight.zero_(), linear.bias.zero_()
        for norm in (model.bert.encoder.layer[0].output.LayerNorm, layer.attention.output.LayerNorm):
            norm.weight.fill_(1), norm.bias.zero_()
        layer.output.LayerNorm.weight.fill_(1), layer.output.LayerNorm.bias.zero_()
    making = Shrinker(model, examples_of(model))
    small = making.child(cut(making.spec, [0, 1]), repair=False)
    inputs = inputs_of(model)
    torch.testing.assert_close(logits(small, **inputs), logits(model, **inputs), rtol=0, atol=1e-4)


def test_layers_go_one_after_the_other_by_cost_as_long_as_the_child_fits(monkeypatch):
    model = flexibert("deep hetero")
    costs = {(1, 2): 0.1, (0, 2): 0.5, (0, 1): 0.9}
    monkeypatch.setattr(Shrinker, "_cost", lambda self, places: costs[places])
    making = Shrinker(model, examples_of(model, batches=1))
    attending = (["sa_sdp_16"], [64])
    assert making._places(hetero(attending, (["sa_wma_16"], [64]))) == [1, 2]
    assert making._places(hetero((["c_5_16"], [64]), attending)) == [0, 1]  # only layer 0 has convolutions
    assert making._places(hetero((["c_5_16"], [64]), (["sa_wma_16"], [96]))) == [0, 2]


def test_heads_come_in_the_order_of_the_child():
    model = flexibert("deep hetero")
    child = hetero((["sa_sdp_16", "c_5_16", "sa_sdp_16"], [64]), (["sa_wma_16"], [64]))
    small = Shrinker(model, examples_of(model, batches=1)).child(child, repair=False)
    assert small.config.model_spec == child
    value, source = small.bert.encoder.layer[0].attention.self.value, model.bert.encoder.layer[0].attention.self.value
    assert torch.equal(value.weight[16:32], source.weight[16:32])  # the convolution is head 1 in both


def test_a_child_is_a_parent_again():
    model = bert()
    first = prune(model, spec=cut(spec_of(model), [0, 1], heads=0.75, neurons=0.5), examples=examples_of(model))
    layers = first.config.model_spec.layers
    second = ModelSpec((Layer(48, layers[1].heads[:2], (32,)),), "hetero")
    small = prune(first, spec=second, examples=examples_of(first))
    assert small.config.model_spec == second
    assert torch.isfinite(logits(small, **inputs_of(first))).all()
    assert [step.startswith("pruned") for step in small.config.lineage] == [False, True, True]


@pytest.mark.parametrize(
    ("head", "labels"),
    [
        (FlexiBERTForTokenClassification, {"labels": torch.randint(2, (8, 19))}),
        (
            FlexiBERTForQuestionAnswering,
            {"start_positions": torch.ones(8, dtype=int), "end_positions": torch.ones(8, dtype=int)},
        ),
        (FlexiBERTForMaskedLM, {"labels": torch.randint(99, (8, 19))}),
    ],
    ids=["tags", "answers", "words"],
)
def test_heads_that_read_every_token_are_cut_and_repaired_too(head, labels):
    model = head(flexibert("deep hetero").config)
    examples = [inputs_of(model, batch=8, seed=number) | labels for number in range(8)]
    child = cut(model.config.model_spec, [0, 2], heads=0.5, width=0.5)
    small = Shrinker(model, examples).child(child)
    assert small.config.model_spec == child
    assert all(torch.isfinite(x).all() for x in small(**examples[0]).values())


@pytest.mark.parametrize("widths", [[48, 24], [48, 48, 32], [64, 16, 16], [32, 32]], ids=str)
def test_widths_that_change_from_layer_to_layer_are_reached(widths):
    model = flexibert("narrowing")
    places = range(3) if len(widths) == 3 else [0, 2] if widths[1] < 32 else [0, 1]
    layers = zip(widths, (model.config.model_spec.layers[place] for place in places), strict=True)
    child = ModelSpec(tuple(Layer(width, layer.heads[:1], layer.feed_forward) for width, layer in layers), "hetero")
    small = Shrinker(model, examples_of(model)).child(child)
    assert small.config.model_spec == child
    assert torch.isfinite(logits(small, **inputs_of(model))).all()


def test_of_a_narrower_stream_every_table_and_matrix_has_the_same_channels():
    model = bert()
    making = Shrinker(model, examples_of(model))
    small = making.child(cut(making.spec, [0, 1, 2], width=0.5), repair=False)
    channels = making._kept(small.config.model_spec)[0].channels
    assert len(channels) == 32
    ours, theirs = small.bert.embeddings.word_embeddings.weight, model.bert.embeddings.word_embeddings.weight
    assert torch.equal(ours, theirs[:, channels])
    ours, theirs = small.bert.pooler.dense.weight, model.bert.pooler.dense.weight
    assert torch.equal(ours, theirs[channels][:, channels])
    assert torch.equal(small.classifier.weight, model.classifier.weight[:, channels])


def test_what_is_the_same_for_all_children_is_found_once(monkeypatch):
    model, calls = bert(), []
    found = shrinker.importance_of
    monkeypatch.setattr(shrinker, "importance_of", lambda *given: calls.append("importance") or found(*given))
    recorded = shrinker.ParentStates
    monkeypatch.setattr(shrinker, "ParentStates", lambda *given: calls.append("states") or recorded(*given))
    making = Shrinker(model, examples_of(model))
    for heads in (0.25, 0.5, 0.75):
        making.child(cut(making.spec, [0, 1, 2], heads=heads))
    assert calls == ["importance", "states"]


def test_the_model_is_copied_and_children_have_its_mode():
    model = bert().train()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    making = Shrinker(model, examples_of(model))
    assert making.child(cut(making.spec, [0, 1], width=0.5)).training
    assert model.training
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


STANDARD = ModelSpec.from_dict(MODEL_DICTS["mixed"])
BERT = ModelSpec.homogeneous(3, 64, 4, 128)
HETERO = ModelSpec.from_dict(MODEL_DICTS["deep hetero"])


@pytest.mark.parametrize(
    ("parent", "child", "expected"),
    [
        (BERT, BERT, True),
        (BERT, ModelSpec.homogeneous(2, 32, 2, 96), True),
        (BERT, cut(BERT, [0, 2], heads=0.5), True),
        (BERT, ModelSpec.homogeneous(4, 64, 4, 128), False),
        (BERT, ModelSpec.homogeneous(3, 64, 2, 128), False),
        (BERT, ModelSpec.homogeneous(3, 64, 4, 129), False),
        (BERT, ModelSpec.homogeneous(3, 80, 5, 128), False),
        (STANDARD, ModelSpec((STANDARD.layers[1],)), True),
        (STANDARD, cut(STANDARD, [0]), True),
        (STANDARD, cut(STANDARD, [1], heads=0.5), False),
        (HETERO, cut(HETERO, [0, 2], heads=0.5, width=0.5), True),
        (HETERO, cut(HETERO, [2, 0], heads=0.5), False),
        (HETERO, ModelSpec.homogeneous(1, 16, 1, 64), True),
        (BERT, ModelSpec.side_by_side([BERT, BERT]), False),
        (ModelSpec.side_by_side([BERT, BERT]), BERT, False),
    ],
)
def test_a_parent_holds_what_fits_in_order(parent, child, expected):
    assert holds(parent, child) is expected


def test_shared_weights_of_a_standard_layer_are_not_made_of_those_of_single_heads():
    child = ModelSpec.from_dict({"l": 1, "o": ["sa"], "h": [32], "n": [2], "f": [[64]], "p": ["wma"]})
    assert not holds(HETERO, child)


@pytest.mark.parametrize(
    ("child", "message"),
    [
        (ModelSpec.homogeneous(4, 64, 4, 128), "it must have at most 3 layers. Got 4"),
        (
            ModelSpec.homogeneous(3, 80, 5, 128),
            "layer 0 must be at most 64 wide(.|\n)*layer 2 must have at most 4 heads",
        ),
        (
            ModelSpec.homogeneous(2, 64, 4, 256),
            r"layer 0 fits into none of the model's from 0 on; for layer 0 it must ",
        ),
        (ModelSpec.side_by_side([BERT, BERT]), "it must not be grouped. Got 2 groups"),
    ],
    ids=["deeper", "wider", "other layers", "grouped"],
)
def test_what_does_not_fit_is_listed(child, message):
    model = bert()
    with pytest.raises(ValueError, match=f"'spec' must be a part of the model's own:\n  - {message}"):
        prune(model, spec=child, examples=examples_of(model, batches=1))


def test_grouped_models_are_refused():
    stitched = stitch(flexibert(), flexibert())
    with pytest.raises(ValueError, match="A grouped architecture cannot be pruned. Got 2 groups"):
        Shrinker(stitched, examples_of(stitched, batches=1))
