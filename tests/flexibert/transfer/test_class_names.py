"""Classes go by their names where they have any: in stitched models and in transfers."""

from collections.abc import Callable

import pytest
import torch

from flexibert import (
    FlexiBERTForMultipleChoice,
    FlexiBERTForSequenceClassification,
    FlexiBERTForTokenClassification,
    stitch,
)

SDP = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]}
WIDE = SDP | {"h": [24]}
IDS = torch.tensor([[7, 3, 1, 9, 40, 8, 2], [4, 6, 30, 5, 9, 8, 1]])
CLASSIFIERS = [FlexiBERTForSequenceClassification, FlexiBERTForTokenClassification]


def _model(tiny: Callable, names: str, model_class: type = CLASSIFIERS[0], model_dict: dict = SDP, **options: object):
    """A model whose classes are called by single letters; no names: the default ones of three classes."""
    labels = {"id2label": dict(enumerate(names))} if names else {"num_labels": 3}
    model = model_class(tiny(model_dict, **labels), **options).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    return model


@pytest.mark.parametrize("layernorm", ["grouped", "concat"])
@pytest.mark.parametrize("model_class", CLASSIFIERS)
def test_a_stitch_averages_classes_of_one_name(model_class: type, layernorm: str, tiny: Callable) -> None:
    a, b = (_model(tiny, names, model_class) for names in ("abc", "cab"))
    for one, other in zip(a.bert.encoder.layer, b.bert.encoder.layer, strict=True):
        one.attention.self.distance_embedding.load_state_dict(other.attention.self.distance_embedding.state_dict())
    wide = stitch(a, b, layernorm=layernorm)
    assert wide.config.id2label == {0: "a", 1: "b", 2: "c"}
    moved = b.classifier.weight[[1, 2, 0]]
    assert torch.equal(wide.classifier.weight, torch.cat([a.classifier.weight, moved], dim=1) / 2)
    assert torch.equal(wide.classifier.bias, (a.classifier.bias + b.classifier.bias[[1, 2, 0]]) / 2)
    if layernorm == "grouped":
        mean = (a(IDS).logits + b(IDS).logits[..., [1, 2, 0]]) / 2
        torch.testing.assert_close(wide(IDS).logits, mean, atol=1e-5, rtol=0)


def test_other_classes_are_not_stitched_and_default_names_go_by_place(tiny: Callable) -> None:
    a, other, unnamed = (_model(tiny, names) for names in ("abc", "abd", ""))
    with pytest.raises(ValueError, match="'id2label' must name the same classes .* Got a, b, c and a, b, d; rename"):
        stitch(a, other)
    mean = (a(IDS).logits + unnamed(IDS).logits) / 2
    torch.testing.assert_close(stitch(a, unnamed)(IDS).logits, mean, atol=1e-5, rtol=0)


def test_choices_have_no_classes(tiny: Callable) -> None:
    a, b = (_model(tiny, names, FlexiBERTForMultipleChoice) for names in ("ab", "cd"))
    mean = (a(IDS[:, None]).logits + b(IDS[:, None]).logits) / 2
    torch.testing.assert_close(stitch(a, b)(IDS[:, None]).logits, mean, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["consistent", "OD", "RP"])
@pytest.mark.parametrize("model_class", CLASSIFIERS)
def test_a_transferred_classifier_goes_by_names(model_class: type, mode: str, tiny: Callable) -> None:
    source = _model(tiny, "abc", model_class)
    target = _model(tiny, "cab", model_class, transfer_mode=mode)
    assert target.load_model_from_source(source) == 1
    torch.testing.assert_close(target(IDS).logits, source(IDS).logits[..., [2, 0, 1]], atol=1e-5, rtol=0)
    unnamed = _model(tiny, "", model_class, transfer_mode=mode)
    unnamed.load_model_from_source(source)
    assert torch.equal(unnamed.classifier.bias, source.classifier.bias)


@pytest.mark.parametrize("mode", ["consistent", "OD", "RP"])
def test_a_classifier_of_other_classes_is_not_transferred(mode: str, tiny: Callable) -> None:
    target = _model(tiny, "abd", model_dict=WIDE, transfer_mode=mode)
    before = [parameter.clone() for parameter in target.classifier.parameters()]
    assert target.load_model_from_source(_model(tiny, "abc", model_dict=WIDE)) == 1
    assert all(map(torch.equal, target.classifier.parameters(), before))
