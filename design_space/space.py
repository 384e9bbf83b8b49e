"""A design space: the YAML file a user writes, counted and indexed exactly, never listed.

The file holds ``datasets`` (tasks) and ``architecture`` (lists of options, see ``design_space_test.yaml``). Members
are all combinations over stacks of ``layers_per_stack`` equal layers (FlexiBERT, section 3.2.1); with
``heterogeneous_feed_forward`` the widths inside one feed-forward stack may differ. Where the file says
``heterogeneous_heads: true`` (see ``design_space_hetero.yaml``), members are in the hetero format: every head of a
layer has an operation and parameter of its own.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from .bounds import MOST, is_whole, raise_all
from .choices import FeedForwardChoices, StackChoices, shapes_of
from .files import read_yaml, short, unknown_keys
from .labels import LabelOrder
from .level import Level
from .operations import LARGEST_NUMBER, described, is_known, operation_named, operations
from .spec import Head, ModelSpec, rule_problems

ARCHITECTURE_KEYS = (
    "hidden_size",
    "num_heads",
    "encoder_layers",
    "operation_types",
    "number_of_feed-forward_stacks",
    "feed-forward_hidden",
    "operation_parameters",
)
OPTIONAL_KEYS = ("heterogeneous_heads", "head_size")
MOST_OF = {key: MOST for key in ("num_heads", "encoder_layers", "number_of_feed-forward_stacks")}
"""The largest value of an option that counts what is listed; of the others it is ``LARGEST_NUMBER``."""
MOST_KINDS = 100_000
"""Of heads in a space: hidden sizes times numbers and sizes of heads times operations, which are gone through."""


@dataclass(frozen=True, kw_only=True)
class DesignSpace:
    """The options of a space. Build one with ``from_yaml`` or ``from_dict``, which validate.

    Attributes:
        hidden_sizes, num_heads, encoder_layers, num_feed_forward, feed_forward_widths: options, ascending.
        operations: pairs (operation, parameter).
        datasets: tasks named in the file.
        heterogeneous_heads: whether each head of a layer has an operation of its own.
        head_sizes: options with ``heterogeneous_heads``, ascending; where there are none, heads are together as wide
            as their layer, as they are without.
    """

    hidden_sizes: tuple[int, ...]
    num_heads: tuple[int, ...]
    encoder_layers: tuple[int, ...]
    operations: tuple[tuple[str, str | int], ...]
    num_feed_forward: tuple[int, ...]
    feed_forward_widths: tuple[int, ...]
    datasets: tuple[str, ...] = field(default=())
    heterogeneous_heads: bool = False
    head_sizes: tuple[int, ...] = ()

    @staticmethod
    def from_yaml(path: Path | str) -> "DesignSpace":
        """The space in a YAML file. Raises ``ValueError`` listing everything that is wrong with it."""
        return DesignSpace.from_dict(read_yaml(path), where=str(path))

    @staticmethod
    def from_dict(content: Mapping[str, Any], where: str = "the design space") -> "DesignSpace":
        """The space that a mapping with the keys of the YAML file describes. Raises ``ValueError`` listing all
        problems."""
        if not isinstance(content, Mapping):
            raise ValueError(f"{where} must be a mapping with 'datasets' and 'architecture'. Got {short(content)}")
        problems = unknown_keys(content, ("datasets", "architecture"), where)
        datasets = content.get("datasets") or []
        if not isinstance(datasets, list) or not all(isinstance(name, str) for name in datasets):
            problems.append(f"'datasets' must be a list of names. Got {short(datasets)}")
        architecture = content.get("architecture")
        if not isinstance(architecture, Mapping):
            raise ValueError(
                "\n  - ".join([f"Problems in {where}:", *problems, "'architecture' must be a mapping of options"])
            )
        problems += unknown_keys(architecture, (*ARCHITECTURE_KEYS, *OPTIONAL_KEYS), f"'architecture' of {where}")
        options = {
            key: _options(architecture, key, problems) for key in ARCHITECTURE_KEYS if key != "operation_parameters"
        }
        operations = _operations(options["operation_types"], architecture.get("operation_parameters"), problems)
        is_hetero = architecture.get("heterogeneous_heads", False)
        head_sizes = _options(architecture, "head_size", problems) if "head_size" in architecture else []
        problems += _format_problems(is_hetero, options["operation_types"], "head_size" in architecture)
        sizes_of_heads = [options["hidden_size"], options["num_heads"], head_sizes or [0], operations]
        if (kinds := math.prod(map(len, sizes_of_heads))) > MOST_KINDS:
            problems.append(f"The options make {kinds:,} kinds of heads; a space may have {MOST_KINDS:,}")
            raise_all(problems, where)
        for hidden, heads in itertools.product(options["hidden_size"], options["num_heads"]):
            if hidden % heads and "head_size" not in architecture:
                problems.append(
                    f"'num_heads' {heads} does not divide 'hidden_size' {hidden}: every pair of options must"
                )
        sizes = {size for _, _, size in shapes_of(options["hidden_size"], options["num_heads"], head_sizes)}
        for names, size in itertools.product(operations, sorted(sizes)):
            problems += rule_problems(*names, size)
        raise_all(problems, where)
        return DesignSpace(
            hidden_sizes=tuple(sorted(options["hidden_size"])),
            num_heads=tuple(sorted(options["num_heads"])),
            encoder_layers=tuple(sorted(options["encoder_layers"])),
            operations=operations,
            num_feed_forward=tuple(sorted(options["number_of_feed-forward_stacks"])),
            feed_forward_widths=tuple(sorted(options["feed-forward_hidden"])),
            datasets=tuple(datasets),
            heterogeneous_heads=is_hetero,
            head_sizes=tuple(sorted(head_sizes)),
        )

    def to_dict(self) -> dict[str, Any]:
        """The content of the YAML file, of JSON types."""
        parameters: dict[str, list[str | int]] = {}
        for operation, parameter in self.operations:
            parameters.setdefault(operation, []).append(parameter)
        sizes = {"head_size": list(self.head_sizes)} if self.head_sizes else {}
        return {
            "datasets": list(self.datasets),
            "architecture": {
                "hidden_size": list(self.hidden_sizes),
                "num_heads": list(self.num_heads),
                "encoder_layers": list(self.encoder_layers),
                "operation_types": list(parameters),
                "number_of_feed-forward_stacks": list(self.num_feed_forward),
                "feed-forward_hidden": list(self.feed_forward_widths),
                "operation_parameters": parameters,
                **({"heterogeneous_heads": True, **sizes} if self.heterogeneous_heads else {}),
            },
        }

    def level(self, *, layers_per_stack: int, heterogeneous_feed_forward: bool = False) -> Level:
        """The members at a granularity.

        Raises:
            ValueError: when ``layers_per_stack`` does not divide every depth.
        """
        return _first_level(self, layers_per_stack, heterogeneous_feed_forward)

    def size(self, *, layers_per_stack: int, heterogeneous_feed_forward: bool = False) -> int:
        """Number of members, exact."""
        return _first_level(self, layers_per_stack, heterogeneous_feed_forward).size

    def spec(self, index: int, *, layers_per_stack: int, heterogeneous_feed_forward: bool = False) -> ModelSpec:
        """Member number ``index`` in ``range(size)``; the inverse of ``index``."""
        return _first_level(self, layers_per_stack, heterogeneous_feed_forward).spec(index)

    def index(self, spec: ModelSpec, *, layers_per_stack: int, heterogeneous_feed_forward: bool = False) -> int:
        """The number of a member. Raises ``ValueError`` for a spec outside the space."""
        return _first_level(self, layers_per_stack, heterogeneous_feed_forward).index(spec)

    def sample(
        self, n: int, *, layers_per_stack: int, seed: int, heterogeneous_feed_forward: bool = False
    ) -> list[ModelSpec]:
        """``n`` different members, uniformly. Raises ``ValueError`` when there are fewer."""
        return _first_level(self, layers_per_stack, heterogeneous_feed_forward).sample(n, seed=seed)

    def label_order(self) -> LabelOrder:
        """The fixed order of vertex labels that edit costs are measured along."""
        heads = {
            str(Head(*names, size)) if self.heterogeneous_heads else f"{names[0]}_h{hidden}_p-{names[1]}"
            for hidden, _, size in shapes_of(self.hidden_sizes, self.num_heads, self.head_sizes)
            for names in self.operations
        }
        return LabelOrder.of([*heads, *(f"f{width}" for width in self.feed_forward_widths)])


@lru_cache(maxsize=64)
def _first_level(space: DesignSpace, layers_per_stack: int, heterogeneous_feed_forward: bool) -> Level:
    if not isinstance(layers_per_stack, int) or layers_per_stack < 1:
        raise ValueError(f"'layers_per_stack' must be a whole number above 0. Got {layers_per_stack!r}")
    uneven = [depth for depth in space.encoder_layers if depth % layers_per_stack]
    if uneven:
        raise ValueError(
            f"'layers_per_stack' must divide every option of 'encoder_layers'. Got {layers_per_stack}, but {uneven}"
        )
    choices = StackChoices(
        shapes=tuple(shapes_of(space.hidden_sizes, space.num_heads, space.head_sizes)),
        operations=space.operations,
        feed_forward=FeedForwardChoices(
            counts=space.num_feed_forward,
            widths=space.feed_forward_widths,
            heterogeneous=heterogeneous_feed_forward,
        ),
        format="hetero" if space.heterogeneous_heads else "standard",
    )
    return Level(tuple((choices,) * (depth // layers_per_stack) for depth in space.encoder_layers), layers_per_stack)


def _format_problems(is_hetero: Any, operations: Sequence[str], has_head_size: bool) -> list[str]:
    """What is wrong with the format that members are to have."""
    if not isinstance(is_hetero, bool):
        return [f"'heterogeneous_heads' must be true or false. Got {short(is_hetero)}"]
    only_hetero = [
        f"operation '{name}' of 'operation_types'" for name in operations if not operation_named(name).is_standard
    ]
    only_hetero += ["'head_size' (else 'hidden_size' divided by 'num_heads')"] * has_head_size
    remedy = "set 'heterogeneous_heads: true', or leave it out"
    return [] if is_hetero else [f"{it} is for the hetero format only; {remedy}" for it in only_hetero]


def _options(architecture: Mapping[str, Any], key: str, problems: list[str]) -> list[Any]:
    """The option list of ``key``: non-empty, without repetition, of positive whole numbers (operations: names)."""
    if key not in architecture:
        problems.append(f"Key '{key}' is missing from 'architecture'")
        return []
    values = architecture[key]
    if not isinstance(values, list) or not values:
        problems.append(f"'{key}' must be a list of one or more options. Got {short(values)}")
        return []
    if len(values) > MOST:
        problems.append(f"'{key}' may list at most {MOST:,} options. Got {len(values):,}")
    good: list[Any] = []
    most = MOST_OF.get(key, LARGEST_NUMBER)
    for value in values[:MOST]:
        whole = is_whole(value) and value > 0
        if key == "operation_types" and not is_known(value):
            problems.append(f"'operation_types' must be among {described()}. Got {short(value)}")
        elif key != "operation_types" and not whole:
            problems.append(f"'{key}' must list whole numbers above 0. Got {short(value)}")
        elif key != "operation_types" and value > most:
            problems.append(f"'{key}' must list whole numbers of at most {most:,}. Got {short(value)}")
        elif value in good:
            problems.append(f"'{key}' lists {value!r} more than once")
        else:
            good.append(value)
    return good


def _operations(types: list[str], parameters: Any, problems: list[str]) -> tuple[tuple[str, str | int], ...]:
    """Pairs (operation, parameter), in the order of the file's operations and the documented order of parameters."""
    if not isinstance(parameters, Mapping):
        problems.append(f"'operation_parameters' must map every operation to its options. Got {short(parameters)}")
        return ()
    problems += unknown_keys(parameters, [operation.name for operation in operations()], "'operation_parameters'")
    pairs: list[tuple[str, str | int]] = []
    for operation in types:
        values = parameters.get(operation)
        if not isinstance(values, list) or not values:
            problems.append(f"'operation_parameters' must list options for '{operation}'. Got {short(values)}")
            continue
        if len(values) > MOST:
            problems.append(f"'operation_parameters' of '{operation}' may list at most {MOST:,}. Got {len(values):,}")
        for value in values[:MOST]:
            allowed = operation_named(operation).parameters
            if value not in allowed:
                problems.append(
                    f"'operation_parameters' of '{operation}' must be {allowed.rule}. Got {short(value)}{allowed.hint}"
                )
            elif (operation, value) in pairs:
                problems.append(f"'operation_parameters' of '{operation}' lists {value!r} more than once")
            else:
                pairs.append((operation, value))
    return tuple(pairs)
