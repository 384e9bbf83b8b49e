"""The registry of morphisms: ways to the first weights of an architecture, each one object.

A *constructive* morphism makes architectures out of those of its parents (``children``); any other one gives weights to
an architecture that is there already, and says how many (``inherited_share``); one that can do both says so by
``filled``. All end at exactly one spec, known before a weight is touched: everything here but ``make`` is about specs
alone. The searcher, the origins of candidates
and their columns for the surrogate, the training of candidates, the flags and the report ask these objects.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from design_space import ModelSpec

Overlap = Callable[[ModelSpec, ModelSpec], float]
"""The share of the second spec's parameters that the first one's weights can fill, in [0, 1]."""

RESERVED = ("kind", "parent", "other", "parents")
"""Keys of an origin in the journal, which no argument can be named by."""


@dataclass(frozen=True)
class Child:
    """An architecture that a morphism ends at.

    Attributes:
        spec: the architecture.
        arguments: values (numbers, texts) by the names that the morphism's ``arguments`` declares.
    """

    spec: ModelSpec
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Materials:
    """What a morphism may use to make a model, beside its parents' models.

    Attributes:
        batches: gives so many batches of training rows, with labels: ``input_ids`` and ``attention_mask`` (B, S), ...
        blank: gives a new model of the child's architecture for the task at hand, with random weights.
        pretrained: gives the encoder of a name, of those that the search starts from.
        seed: of everything random.
    """

    batches: Callable[[int], Iterator[Mapping[str, Any]]]
    blank: Callable[[], Any]
    pretrained: Callable[[str], Any]
    seed: int = 0


class Morphism(ABC):
    """A way to first weights. A subclass has no state, defines the attributes, ``make``, and, where it has parents,
    ``children`` or ``inherited_share``; ``register_morphism`` makes it known.

    Attributes:
        name: an identifier, as ``--origins`` and the journal write it.
        num_parents: how many trained models a child is made of.
        sentence: what the model card, the report and the help of ``--origins`` say of it.
        arguments: names of what a child's origin holds beside its parents, for example ``density``.
        needs_pretraining: whether what it makes knows nothing yet, and reads texts before it is fine-tuned.
    """

    name: ClassVar[str]
    num_parents: ClassVar[int]
    sentence: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]] = ()
    needs_pretraining: ClassVar[bool] = False

    def children(self, parents: Sequence[ModelSpec]) -> Iterable[Child]:
        """What can be made of these architectures, ``num_parents`` of them, none grouped; nothing where they do not
        fit. Equal parents must give equal children, in every process."""
        return ()

    def filled(self, parents: Sequence[ModelSpec], child: ModelSpec) -> Child | None:
        """An architecture that is there already, with the arguments of its origin, where these parents (none grouped)
        can give it weights; None where they cannot. By default any one of their format, without arguments, unless the
        morphism is constructive. Called for many pairs: keep it cheap."""
        is_alike = all(parent.format == child.format for parent in parents)
        return Child(child) if is_alike and not self.is_constructive else None

    def inherited_share(self, parents: Sequence[ModelSpec], child: ModelSpec, overlap: Overlap) -> float:
        """The share of the child's parameters that the parents give, in [0, 1].

        Args:
            overlap: what a transfer from a parent would fill.
        """
        return 1.0

    @abstractmethod
    def make(self, parents: Sequence[Any], child: Child, materials: Materials) -> Any:
        """The child's model before fine-tuning; its architecture is exactly ``child.spec``.

        Args:
            parents: trained models for the task at hand; not changed.

        Returns:
            A model of the parents' class where the morphism is constructive, whose encoder (and head, where it fits)
            goes on in a model for the task; a filled ``materials.blank()`` where it is not.
        """

    @property
    def is_constructive(self) -> bool:
        """Whether architectures are made out of those of parents."""
        return type(self).children is not Morphism.children

    @property
    def can_fill(self) -> bool:
        """Whether an architecture that is there already can inherit from parents."""
        return self.num_parents > 0 and (not self.is_constructive or type(self).filled is not Morphism.filled)


MORPHISMS: dict[str, Morphism] = {}
"""All morphisms by name, in the order they were registered."""

AnyMorphism = TypeVar("AnyMorphism", bound=type[Morphism] | Morphism)


def register_morphism(morphism: AnyMorphism) -> AnyMorphism:
    """Make a morphism known: an object, or its class, as a decorator. The same class may be registered again, as when
    its module is imported a second time.

    Raises:
        ValueError: listing everything that it lacks.
    """
    its_class: Any = morphism if isinstance(morphism, type) else type(morphism)
    problems = _problems(its_class)
    if problems:
        raise ValueError("\n  - ".join([f"Problems in the morphism {its_class.__name__}:", *problems]))
    MORPHISMS[its_class.name] = morphism() if isinstance(morphism, type) else morphism
    return morphism


def _problems(morphism: type[Morphism]) -> list[str]:
    if not issubclass(morphism, Morphism):
        return ["it must be derived from flexibert.Morphism"]
    name, count, sentence = (getattr(morphism, key, None) for key in ("name", "num_parents", "sentence"))
    arguments = morphism.arguments
    problems = []
    if not (isinstance(name, str) and name.isidentifier()):
        problems.append(f"'name' must be an identifier. Got {name!r}")
    elif (known := MORPHISMS.get(name)) and _place(type(known)) != _place(morphism):
        problems.append(f"'name' must be another: {name!r} is registered by {'.'.join(_place(type(known)))}")
    if not (isinstance(count, int) and count >= 0):
        problems.append(f"'num_parents' must be a whole number of at least 0. Got {count!r}")
    if not (isinstance(sentence, str) and sentence):
        problems.append(f"'sentence' must say in one sentence where the weights come from. Got {sentence!r}")
    if isinstance(arguments, str) or not all(one.isidentifier() and one not in RESERVED for one in arguments):
        problems.append(f"'arguments' must be identifiers other than {', '.join(RESERVED)}. Got {arguments!r}")
    if morphism.__abstractmethods__:
        problems.append(f"it must define {', '.join(sorted(morphism.__abstractmethods__))}")
    if count and morphism.children is Morphism.children and morphism.inherited_share is Morphism.inherited_share:
        problems.append("it must define children (of its parents) or inherited_share (of a given architecture)")
    return problems


def _place(of: type) -> tuple[str, str]:
    return of.__module__, of.__qualname__
