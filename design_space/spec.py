"""An architecture: the frozen, validated model dictionary (FlexiBERT, Tuli et al. 2022, section 3; FlexiBERT 2.0's
hetero format).

Both formats are one structure here: a ``ModelSpec`` is a sequence of ``Layer``; a layer has a hidden size, mixing
``Head``s and a feed-forward stack. In the *standard* format all heads of a layer are alike and together as wide as
the layer; in the *hetero* format they may differ in operation and their joint width may differ from the layer's.
A *grouped* spec is several specs of one depth side by side, each with its own residual stream: what two stitched
encoders are. Its layers are those of its groups taken together; its model dict is ``{"groups": [dict, ...]}``.

    model dict key   l       o         p           h            n           f
    name here        layers  operation parameter   hidden_size  num_heads   feed_forward

The keys of the dictionary exist in this module and in files only. Building a network from a spec is ``flexibert``'s
business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any, Literal

import networkx as nx

from .bounds import ABSENT, MOST, is_whole, raise_all, too_many, wrong_size
from .files import short, unknown_keys
from .graph import canonical_hash, to_networkx
from .operations import SCALED_DOT_PRODUCT, SELF_ATTENTION, described, is_known, operation_named

STANDARD_KEYS = ("l", "o", "h", "n", "f", "p")
HETERO_KEYS = ("l", "o", "h", "f")
GROUPED_KEYS = ("groups",)

Format = Literal["standard", "hetero", "grouped"]
Shape = tuple[int, int, int]
"""Of a layer: hidden size, number of heads, head size."""


@dataclass(frozen=True, slots=True)
class Head:
    """One mixing head: the name of its operation (``operations.py``), the operation's parameter, its head size."""

    operation: str
    parameter: str | int
    size: int

    def __post_init__(self) -> None:
        problems = _operation_problems(self.operation, self.parameter, "head") + wrong_size(self.size, "size", "head")
        raise_all(problems or rule_problems(self.operation, self.parameter, self.size))

    @staticmethod
    def dot_product_attention(size: int) -> "Head":
        """A head of BERT's kind."""
        return Head(SELF_ATTENTION, SCALED_DOT_PRODUCT, size)

    def __str__(self) -> str:
        """The head string of the hetero format, for example ``sa_sdp_64``."""
        return f"{self.operation}_{self.parameter}_{self.size}"

    @staticmethod
    def parse(text: str) -> "Head":
        """The head that ``"{op}_{param}_{size}"`` names. Raises ``ValueError`` when it names none."""
        parts = text.split("_") if isinstance(text, str) else []
        if len(parts) != 3 or not parts[2].isdecimal():
            raise ValueError(
                f"Got {short(text)}; a head is written 'operation_parameter_size', for example 'sa_sdp_64'"
            )
        operation, parameter, size = parts
        return Head(operation, int(parameter) if parameter.isdecimal() else parameter, int(size))


@dataclass(frozen=True, slots=True)
class Layer:
    """One encoder layer: its hidden size, its heads (one or more, all of one size), its feed-forward widths (one or
    more)."""

    hidden_size: int
    heads: tuple[Head, ...]
    feed_forward: tuple[int, ...]

    def __post_init__(self) -> None:
        problems = wrong_size(self.hidden_size, "hidden_size", "layer")
        for name, entries in (("heads", self.heads), ("feed_forward", self.feed_forward)):
            problems += too_many(entries, name, "layer")
        if not self.heads:
            problems.append("A layer needs at least one head")
        if len({head.size for head in self.heads}) > 1:
            problems.append(f"All heads of a layer must have one size. Got {[str(head) for head in self.heads]}")
        if not self.feed_forward:
            problems.append("A layer needs at least one feed-forward width")
        for width in self.feed_forward[:MOST]:
            problems += wrong_size(width, "feed_forward", "layer")
        raise_all(problems)

    @staticmethod
    def beside(layers: Sequence["Layer"]) -> "Layer":
        """Layers of a grouped spec as one: widths added, heads side by side (their sizes may differ), feed-forward
        stacks one after another."""
        joint = object.__new__(Layer)
        object.__setattr__(joint, "hidden_size", sum(layer.hidden_size for layer in layers))
        object.__setattr__(joint, "heads", tuple(head for layer in layers for head in layer.heads))
        object.__setattr__(joint, "feed_forward", tuple(width for layer in layers for width in layer.feed_forward))
        return joint

    @property
    def head_size(self) -> int:
        return self.heads[0].size

    @property
    def has_dot_product_attention(self) -> bool:
        """Whether all heads are those of BERT: self-attention by scaled dot products."""
        return {(head.operation, head.parameter) for head in self.heads} == {(SELF_ATTENTION, SCALED_DOT_PRODUCT)}

    @property
    def shape(self) -> Shape:
        """Hidden size, number of heads, head size."""
        return self.hidden_size, len(self.heads), self.head_size

    @property
    def is_uniform(self) -> bool:
        """Whether the layer can be written in the standard format: heads alike, together as wide as the layer."""
        number = len(self.heads)
        return self.heads.count(self.heads[0]) == number and number * self.head_size == self.hidden_size


@dataclass(frozen=True)
class ModelSpec:
    """An encoder architecture. Two specs are equal when they are written alike; ``hash`` is equal when their graphs
    are isomorphic. ``groups`` are the specs side by side in a grouped one (``ModelSpec.side_by_side``), else empty."""

    layers: tuple[Layer, ...]
    format: Format = "standard"
    groups: tuple["ModelSpec", ...] = ()

    def __post_init__(self) -> None:
        problems = [] if self.layers else ["A model needs at least one layer"]
        problems += too_many(self.layers, "layers", "model")
        if self.format not in ("standard", "hetero") and not (self.format == "grouped" and self.groups):
            problems.append(f"'format' must be 'standard' or 'hetero'. Got {self.format!r}")
        if self.format == "standard":
            problems += [
                f"layers[{i}]: in the standard format heads are alike and as wide as the layer ({layer.hidden_size}); "
                f"got {[str(head) for head in layer.heads]}. Use the hetero format"
                for i, layer in enumerate(self.layers)
                if not layer.is_uniform
            ]
            names = dict.fromkeys(head.operation for layer in self.layers for head in layer.heads)
            problems += [
                f"Operation '{name}' stands in the hetero format only"
                for name in names
                if not operation_named(name).is_standard
            ]
        raise_all(problems)

    @staticmethod
    def homogeneous(num_layers: int, hidden_size: int, num_heads: int, feed_forward: int) -> "ModelSpec":
        """BERT's architecture in these sizes: equal layers of scaled dot-product attention.

        Raises:
            ValueError: for sizes that make no architecture.
        """
        raise_all(wrong_size(num_layers, "num_layers", "model", MOST))
        layer = {"o": SELF_ATTENTION, "h": hidden_size, "n": num_heads, "f": [feed_forward], "p": SCALED_DOT_PRODUCT}
        return ModelSpec.from_dict({"l": num_layers} | {key: [value] * num_layers for key, value in layer.items()})

    @staticmethod
    def side_by_side(specs: Sequence["ModelSpec"]) -> "ModelSpec":
        """The grouped spec of several; groups of grouped specs become groups of the result.

        Raises:
            ValueError: when there are fewer than two, or their depths differ.
        """
        groups = tuple(group for spec in specs for group in (spec.groups or (spec,)))
        depths = [len(group.layers) for group in groups]
        if len(groups) < 2 or len(set(depths)) > 1:
            raise ValueError(
                f"A grouped architecture needs two or more groups of equally many layers. Got groups of {depths} layers"
            )
        layers = zip(*(group.layers for group in groups), strict=True)
        return ModelSpec(tuple(Layer.beside(each) for each in layers), "grouped", groups)

    @staticmethod
    def from_dict(model_dict: Mapping[str, Any]) -> "ModelSpec":
        """The spec that a model dictionary describes; the format is told by its keys (``n`` and ``p``: standard).

        Raises:
            ValueError: listing every problem of the dictionary.
        """
        if not isinstance(model_dict, Mapping):
            raise ValueError(f"A model dict is a mapping with keys {', '.join(STANDARD_KEYS)}. Got {short(model_dict)}")
        if "groups" in model_dict:
            return _from_groups(model_dict)
        first: Any = model_dict.get("o")
        looks_hetero = _is_list(first) and any(_is_list(o) for o in first)
        if _is_list(first) and not {"n", "p"} & set(model_dict):  # heads without the list around them
            looks_hetero |= any(isinstance(o, str) and "_" in o for o in first)
        return _from_hetero(model_dict) if looks_hetero else _from_standard(model_dict)

    def to_dict(self) -> dict[str, Any]:
        """The model dictionary, of JSON types only."""
        if self.groups:
            return {"groups": [group.to_dict() for group in self.groups]}
        common = {"l": len(self.layers), "h": [layer.hidden_size for layer in self.layers]}
        feed_forward = [list(layer.feed_forward) for layer in self.layers]
        if self.format == "hetero":
            return common | {"o": [[str(head) for head in layer.heads] for layer in self.layers], "f": feed_forward}
        return common | {
            "o": [layer.heads[0].operation for layer in self.layers],
            "n": [len(layer.heads) for layer in self.layers],
            "f": feed_forward,
            "p": [layer.heads[0].parameter for layer in self.layers],
        }

    def head_labels(self, index: int) -> list[str]:
        """Labels of the head vertices of layer ``index``: ``{op}_h{hidden}_p-{param}``, or the head string in the
        hetero format; of a grouped spec, those of its groups."""
        if self.groups:
            return [label for group in self.groups for label in group.head_labels(index)]
        layer = self.layers[index]
        if self.format == "hetero":
            return [str(head) for head in layer.heads]
        head = layer.heads[0]
        return [f"{head.operation}_h{layer.hidden_size}_p-{head.parameter}"] * len(layer.heads)

    @property
    def depends_on_length(self) -> bool:
        """Whether outputs at real positions change with the number of padded ones (see ``Operation``)."""
        names = {head.operation for layer in self.layers for head in layer.heads}
        return any(operation_named(name).depends_on_length for name in names)

    @cached_property
    def hash(self) -> str:
        """sha256 hex digest; the same for isomorphic graphs, in every process."""
        return canonical_hash(self)

    def graph(self) -> nx.DiGraph:
        """The architecture as a directed graph; vertex attributes ``label`` and ``hidden_size``."""
        return to_networkx(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"layers": self.layers, "format": self.format, "groups": self.groups}


def _from_groups(model_dict: Mapping[str, Any]) -> ModelSpec:
    problems = unknown_keys(model_dict, GROUPED_KEYS, "model dict")
    written = model_dict["groups"]
    if not _is_list(written):
        problems.append(f"'groups' must be a list of model dicts. Got {short(written)}")
        written = []
    problems += too_many(written, "groups", "model dict")
    groups = []
    for number, each in enumerate(written[:MOST]):
        if isinstance(each, Mapping) and "groups" in each:
            problems.append(f"'groups[{number}]' must be no grouped model dict: write its groups beside the others")
            continue
        try:
            groups.append(ModelSpec.from_dict(each))
        except ValueError as error:
            problems.append(f"'groups[{number}]': {error}")
    raise_all(problems, "the model dict")
    return ModelSpec.side_by_side(groups)


def _from_standard(model_dict: Mapping[str, Any]) -> ModelSpec:
    problems, columns = _columns(model_dict, STANDARD_KEYS)
    layers = []
    for i, (operation, hidden, heads, widths, parameter) in enumerate(
        zip_longest(*(columns[key] for key in "ohnfp"), fillvalue=ABSENT)
    ):
        found = _operation_problems(operation, parameter, f"layer {i}", f"o[{i}]", f"p[{i}]")
        wrong_sizes = wrong_size(hidden, f"h[{i}]", "model dict") + wrong_size(heads, f"n[{i}]", "model dict", MOST)
        found += wrong_sizes + _feed_forward_problems(widths, i)
        is_whole = not wrong_sizes and ABSENT not in (hidden, heads)
        if is_whole and hidden % heads:
            divisors = [n for n in range(1, min(hidden, MOST) + 1) if hidden % n == 0][:8]
            found.append(
                f"'n[{i}]' (heads) must divide the hidden size 'h[{i}]' {hidden}. Got {heads}; use one of {divisors}"
            )
        problems += found
        if not problems:
            head = Head(
                operation, parameter if isinstance(parameter, str) else int(parameter), int(hidden) // int(heads)
            )
            layers.append(Layer(int(hidden), (head,) * int(heads), tuple(int(width) for width in widths)))
    raise_all(problems, "the model dict")
    return ModelSpec(tuple(layers), "standard")


def _from_hetero(model_dict: Mapping[str, Any]) -> ModelSpec:
    problems, columns = _columns(model_dict, HETERO_KEYS)
    layers = []
    for i, (texts, hidden, widths) in enumerate(zip_longest(*(columns[key] for key in "ohf"), fillvalue=ABSENT)):
        found = wrong_size(hidden, f"h[{i}]", "model dict") + _feed_forward_problems(widths, i)
        heads = []
        if not _is_list(texts) and texts is not ABSENT:
            found.append(f"'o[{i}]' must be a list of heads, such as ['sa_sdp_64', 'c_9_64']. Got {short(texts)}")
        if _is_list(texts):
            found += too_many(texts, f"o[{i}]", "model dict")
        for j, text in enumerate(texts[:MOST] if _is_list(texts) else []):
            try:
                heads.append(Head.parse(text))
            except ValueError as error:
                found.append(f"'o[{i}][{j}]' is no head. {error}")
        if _is_list(texts) and not texts:
            found.append(f"'o[{i}]' must list at least one head")
        if len({head.size for head in heads}) > 1:
            names = short([str(head) for head in heads])
            found.append(f"'o[{i}]': all heads of a layer must have one size. Got {names}")
        problems += found
        if not problems:
            layers.append(Layer(int(hidden), tuple(heads), tuple(int(width) for width in widths)))
    raise_all(problems, "the model dict")
    return ModelSpec(tuple(layers), "hetero")


def _columns(model_dict: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[list[str], dict[str, Sequence[Any]]]:
    """The per-layer lists of a model dict, with what is wrong with their presence, type and length."""
    problems = unknown_keys(model_dict, keys, "model dict")
    problems += [f"Key '{key}' is missing from the model dict" for key in keys if key not in model_dict]
    lists = {key: model_dict[key] for key in keys[1:] if _is_list(model_dict.get(key))}
    problems += [
        f"'{key}' must be a list with one entry per layer. Got {short(model_dict[key])}"
        for key in keys[1:]
        if key in model_dict and key not in lists
    ]
    depth = model_dict.get("l", ABSENT)
    problems += wrong_size(depth, "l", "model dict", MOST)
    for key, column in lists.items():
        problems += too_many(column, key, "model dict")
    if is_whole(depth):
        problems += [
            f"'{key}' must have 'l' = {short(depth)} entries. Got {len(column)}"
            for key, column in lists.items()
            if len(column) != depth
        ]
    return problems, {key: lists.get(key, [])[:MOST] for key in keys[1:]}


def _operation_problems(
    operation: Any, parameter: Any, where: str, name: str = "operation", of: str = "parameter"
) -> list[str]:
    if operation is ABSENT:
        return []
    if not is_known(operation):
        return [f"'{name}' of {where} must be an operation: {described()}. Got {short(operation)}"]
    if parameter is ABSENT:
        return []
    allowed = operation_named(operation).parameters
    if parameter not in allowed:
        return [
            f"'{of}' of {where} must be {allowed.rule} for operation '{operation}'. "
            f"Got {short(parameter)}{allowed.hint}"
        ]
    return []


def rule_problems(operation: str, parameter: str | int, size: int) -> list[str]:
    """What the operation's own rule says against a head with that parameter and size."""
    rule = operation_named(operation).rule
    problem = None if rule is None else rule(parameter, size)
    return [] if problem is None else [f"Head '{operation}_{parameter}_{size}': {problem}"]


def _feed_forward_problems(widths: Any, index: int) -> list[str]:
    if widths is ABSENT:
        return []
    if not _is_list(widths) or not widths:
        return [f"'f[{index}]' must be a list of one or more feed-forward widths. Got {short(widths)}"]
    problems = too_many(widths, f"f[{index}]", "model dict")
    for j, width in enumerate(widths[:MOST]):
        problems += wrong_size(width, f"f[{index}][{j}]", "model dict")
    return problems


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
