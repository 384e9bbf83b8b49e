"""The operations that a head of an architecture may carry out, one object each, and the registry of all of them.

An ``Operation`` says what a specification needs to know: the name written in model dicts and graph labels, the allowed
parameters, its place among the labels, and what holds for its heads in every network. What a head computes, which
weights it has and what it costs is said by the object of the same name in ``flexibert.mixing``. Everything else in the
project asks these objects, so an operation of one's own (``docs/extending.md``) is registered in these two places.

Example:
    >>> from design_space import Operation, WholeNumbers, register_operation
    >>> register_operation(Operation(name="shift", meaning="shift by positions", parameters=WholeNumbers()))
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

HeadParameter = str | int
SELF_ATTENTION, LINEAR_TRANSFORM, CONVOLUTION = "sa", "l", "c"
SCALED_DOT_PRODUCT = "sdp"

LARGEST_NUMBER = 1_000_000
"""Of any width, size or parameter: far beyond what is trained anywhere."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")


@dataclass(frozen=True, kw_only=True)
class WholeNumbers:
    """Parameters that are numbers: ``least``, ``least + step``, ``least + 2 * step``, ... up to a million.

    Attributes:
        meaning: what such a number is, with its article, for messages.
    """

    least: int = 1
    step: int = 1
    meaning: str = "a whole number"

    def __contains__(self, parameter: object) -> bool:
        is_whole = isinstance(parameter, Integral) and not isinstance(parameter, bool)
        if not is_whole or not self.least <= parameter <= LARGEST_NUMBER:  # type: ignore[operator]
            return False
        return (parameter - self.least) % self.step == 0  # type: ignore[operator]

    @property
    def rule(self) -> str:
        """What is allowed, as the end of a sentence that starts with ``must be``."""
        return self.meaning

    @property
    def hint(self) -> str:
        """What to use instead of a wrong parameter, after a message."""
        first = self.least + (self.step if self.least == 1 < self.step else 0)
        return f"; use {first}, {first + self.step}, {first + 2 * self.step}, ... up to {LARGEST_NUMBER:,}"

    def examples(self) -> tuple[int, ...]:
        """The first few of them."""
        return tuple(self.least + self.step * number for number in range(3))


@dataclass(frozen=True)
class Names:
    """Parameters that are words, in their documented order."""

    words: tuple[str, ...]

    def __contains__(self, parameter: object) -> bool:
        return parameter in self.words

    @property
    def rule(self) -> str:
        """What is allowed, as the end of a sentence that starts with ``must be``."""
        return f"one of {', '.join(self.words)}"

    @property
    def hint(self) -> str:
        """Nothing: the rule lists them all."""
        return ""

    def examples(self) -> tuple[str, ...]:
        """All of them."""
        return self.words


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What a head does, as far as a specification knows of it.

    Attributes:
        name: letters and digits, as in model dicts, for example ``sa``.
        meaning: a few words, for messages, tables and plots.
        parameters: the allowed ones; the order is that of labels and of the searcher's features.
        place: where its heads stand in the order of vertex labels, along which edit distances count: after those of a
            lower place, and among those of the same by name.
        is_standard: whether a layer may consist of it alone, in the standard format.
        has_independent_heads: whether, in a standard layer, no head reads or writes what is another's. Such heads can
            be removed one by one and stand beside others in the hetero format.
        depends_on_length: whether outputs at real positions change with the number of padded ones, so that texts are
            padded to one length.
        rule: a further condition on a parameter and a head size; it returns what is wrong with them, as a sentence, or
            None.
    """

    name: str
    meaning: str
    parameters: Names | WholeNumbers
    place: int = 100
    is_standard: bool = True
    has_independent_heads: bool = True
    depends_on_length: bool = False
    rule: Callable[[Any, int], str | None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        names = [self.name, *(self.parameters.words if isinstance(self.parameters, Names) else ())]
        wrong = [name for name in names if not isinstance(name, str) or not _WORD.fullmatch(name)]
        if wrong:
            raise ValueError(
                "Names of an operation and its parameters consist of letters and digits and start with a letter, since "
                f"heads are written 'operation_parameter_size'. Got {', '.join(map(repr, wrong))}"
            )
        if not self.meaning:
            raise ValueError(f"'meaning' of operation '{self.name}' must say what it does in a few words. Got nothing")
        if not self.parameters.examples():
            raise ValueError(
                f"Operation '{self.name}' needs at least one parameter; give it one name if it has no choice"
            )

    def rank(self, parameter: HeadParameter) -> int:
        """The place of a parameter among all of this operation."""
        return self.parameters.words.index(str(parameter)) if isinstance(self.parameters, Names) else int(parameter)


_REGISTRY: dict[str, Operation] = {}


def register_operation(operation: Operation) -> Operation:
    """Make an operation known to specifications, spaces and distances, and return it.

    Raises:
        ValueError: when another operation has its name or its meaning.
    """
    alike = next((each for each in operations() if each.meaning == operation.meaning), operation)
    if alike.name != operation.name:
        raise ValueError(
            f"'meaning' of operation '{operation.name}' must not be that of '{alike.name}'. Got {alike.meaning!r}"
        )
    known = _REGISTRY.setdefault(operation.name, operation)
    if known != operation:
        raise ValueError(f"Operation '{operation.name}' is registered already, as {known.meaning}; choose another name")
    return known


def operations() -> tuple[Operation, ...]:
    """All registered operations, the project's own first, in the order of their registration."""
    return tuple(_REGISTRY.values())


def operation_named(name: str) -> Operation:
    """The operation with that name. Raises ``ValueError`` when there is none."""
    if name not in _REGISTRY:
        raise ValueError(f"There is no operation {name!r}. Known are {described()}")
    return _REGISTRY[name]


def is_known(name: object) -> bool:
    """Whether an operation of that name is registered."""
    return isinstance(name, str) and name in _REGISTRY


def described() -> str:
    """All names with their meanings, for messages."""
    known = ", ".join(f"'{operation.name}' ({operation.meaning})" for operation in operations())
    return f"{known}, or one of a module of yours that --plugin names"


register_operation(
    Operation(name=SELF_ATTENTION, meaning="self-attention", parameters=Names((SCALED_DOT_PRODUCT, "wma")), place=1)
)
register_operation(
    Operation(
        name=LINEAR_TRANSFORM,
        meaning="linear transform",
        parameters=Names(("dft", "dct")),
        place=0,
        has_independent_heads=False,
        depends_on_length=True,
    )
)
register_operation(
    Operation(
        name=CONVOLUTION,
        meaning="dynamic span convolution",
        parameters=WholeNumbers(least=1, step=2, meaning="an odd kernel size"),
        place=2,
        has_independent_heads=False,
    )
)
