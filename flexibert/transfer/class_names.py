"""What a task head hands on: which class of one is which of another's, by the names in ``id2label``.

``LABEL_0``, ``LABEL_1``, ... are what ``transformers`` writes where nobody gave names: they say nothing, and classes
are then taken by place.
"""

from typing import Any

from torch import Tensor, nn


def label_permutation(source: Any, target: Any) -> list[int] | None:
    """The place in ``source`` of each output of the classifier of ``target``; None where the names are others, and
    empty without a classifier.

    Args:
        source: a model.
        target: another of the same class.
    """
    theirs, ours = class_names(source), class_names(target)
    if not theirs or not ours or theirs == ours:
        return list(range(target.classifier.out_features)) if hasattr(target, "classifier") else []
    if sorted(theirs) != sorted(ours) or len(set(ours)) < len(ours):
        return None
    return [theirs.index(name) for name in ours]


def class_names(model: Any) -> list[str]:
    """The names that somebody gave the classes of a model, in order; none where the outputs are no classes: without a
    classifier, of multiple choice, or where one number is predicted."""
    if not hasattr(model, "classifier") or model.classifier.out_features != model.config.num_labels:
        return []
    given = model.config.id2label or {}
    names = [str(given[place]) for place in sorted(given)]
    return [] if len(names) < 2 or names == [f"LABEL_{place}" for place in range(len(names))] else names


def by_class(name: str, parameter: Tensor, places: list[int]) -> Tensor:
    """The rows of a classifier's parameter in the order of ``places``; any other parameter as it is."""
    return parameter[places] if name.startswith("classifier.") else parameter


def task_head_parameters(source: Any, target: Any) -> list[tuple[str, Tensor, nn.Parameter]]:
    """The parameters outside of the encoder as (name, the source's with its classes in the target's order, the
    target's); none unless both models have a task head of one class, with outputs of the same number and names."""
    if type(source) is not type(target) or source.base_model is source:
        return []
    places = label_permutation(source, target)
    if places is None:
        return []
    inside = {id(parameter) for parameter in target.base_model.parameters()}  # a tied decoder is the encoder's
    found = [(n, source.get_parameter(n), p) for n, p in target.named_parameters() if id(p) not in inside]
    if any(read.shape[0] != written.shape[0] for name, read, written in found if ".transform." not in name):
        return []
    return [(name, by_class(name, read, places), written) for name, read, written in found]
