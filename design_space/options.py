"""Options: declared once, as annotated fields of validated dataclasses. Flags, keys of YAML files, what is saved of a
run, messages and the reference page follow from the declaration.

    @options
    class Training:
        epochs: Count = 3
        '''Passes over the training split.'''

A field whose type is such a class again is a group: its options stand beside the others, without a prefix. An option
that two groups have, such as ``max_length``, is one flag, whose value goes to both.
"""

import dataclasses
import functools
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.dataclasses import dataclass
from pydantic_core import CoreSchema, core_schema
from typing_extensions import dataclass_transform

from .files import nearest_name, short

Group = TypeVar("Group")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def options(group: type[Group]) -> type[Group]:
    """A frozen dataclass of keyword arguments, whose values are checked and converted when it is built: ``ValueError``
    lists all that is wrong. Rules over several fields are methods with ``pydantic.model_validator``."""
    config = pydantic.ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )
    made: Any = dataclass(frozen=True, kw_only=True, config=config)(group)
    build = made.__init__

    @functools.wraps(build)
    def init(self: Any, **values: Any) -> None:
        try:
            build(self, **values)
        except pydantic.ValidationError as error:
            raise ValueError(listed(_problems(error, made, {}))) from None

    made.__init__ = init
    return made


def flag(**extra: Any) -> Any:
    """More about an option, beside its type: the ``unit`` of its number, or a second name of its flag (``also``)."""
    return Field(json_schema_extra=extra)


ARGUMENT = flag(positional=True)
"""The mark of an option that is given without a flag."""


@dataclasses.dataclass(frozen=True)
class OneOf:
    """The rule that a text is one of some names; of a registry those that it holds when asked."""

    names: Collection[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(name: str) -> str:
            if name not in self.names:
                raise ValueError
            return name

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"enum": list(self.names)}


@dataclasses.dataclass(frozen=True)
class Only:
    """Of a group: the names of its options that are options of the command. The others keep the values that the default
    of the group has."""

    names: tuple[str, ...]


def below_home(path: Path | str) -> Path:
    """The path with a leading ``~`` or ``~user`` written out. Raises ``ValueError`` when there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: names the home folder of no user; write ./{path} for a file of that name") from error


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError
    return value


def _of_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError("must be a whole number from -2^63 to 2^63 - 1")
    return value


def _not_empty(value: Any) -> Any:
    if value == "":  # of a path that would be the working folder, and what is written is mostly an unset variable
        raise ValueError("must not be empty")
    return value


NO_SWITCH = BeforeValidator(_no_bool)
"""The rule that a number is not true or false, to be written after its bounds."""
Whole = Annotated[int, AfterValidator(_of_64_bits), NO_SWITCH]
Count = Annotated[int, Field(ge=1), AfterValidator(_of_64_bits), NO_SWITCH]
Natural = Annotated[int, Field(ge=0), AfterValidator(_of_64_bits), NO_SWITCH]
Length = Annotated[int, Field(ge=0, le=1_000_000), NO_SWITCH]
"""A number of tokens: of what a table has a row for each."""
Number = Annotated[float, NO_SWITCH]
Positive = Annotated[float, Field(gt=0), NO_SWITCH]
NonNegative = Annotated[float, Field(ge=0), NO_SWITCH]
Share = Annotated[float, Field(ge=0, le=1), NO_SWITCH]
Switch = Annotated[bool, Field(strict=True)]
Place = Annotated[Path, AfterValidator(lambda path: below_home(path).absolute()), BeforeValidator(_not_empty)]
"""A path, absolute when read: Ray Tune changes the working directory."""


@dataclasses.dataclass(frozen=True)
class Option:
    """One option as it is declared.

    Attributes:
        path: names of the groups it lies in, and its own.
        schema: of its values, in the terms of JSON schema; of several values ``array`` or ``object``.
        default: ``dataclasses.MISSING`` when it must be given.
    """

    path: tuple[str, ...]
    schema: Mapping[str, Any]
    default: Any

    @property
    def is_optional(self) -> bool:
        """Whether there is a default."""
        return self.default is not dataclasses.MISSING

    @property
    def help(self) -> str:
        """What it is, in words."""
        return " ".join(str(self.schema.get("description", "")).split())

    @property
    def type(self) -> str:
        """The JSON type of one value."""
        return str(self.entry.get("type", "string"))

    @property
    def takes_several(self) -> bool:
        """Whether it is a list."""
        return "items" in self._value

    @property
    def choices(self) -> list[str] | None:
        """The names that one value can be; None when it is no name of a list."""
        return self.entry.get("enum")

    @property
    def entry(self) -> Mapping[str, Any]:
        """The schema of one value."""
        items: Mapping[str, Any] = self._value.get("items", self._value)
        return items

    @property
    def rule(self) -> str:
        """What one value must be, in words that follow 'must be'."""
        entry = self.entry
        if self.choices is not None:
            return f"one of {', '.join(self.choices)}"
        least, above = entry.get("minimum"), entry.get("exclusiveMinimum")
        most, below = entry.get("maximum"), entry.get("exclusiveMaximum")
        if most is not None or below is not None:
            start = f"[{least:g}" if above is None else f"({above:g}"
            return f"in {start}, " + (f"{most:g}]" if below is None else f"{below:g})")
        bound = "" if least is None else f" of at least {least:g}"
        bound = bound if above is None else f" above {above:g}"
        nouns = {"integer": "a whole number", "number": "a finite number", "boolean": "true or false"}
        return nouns.get(self.type, "a path" if entry.get("format") == "path" else "a text") + bound

    @property
    def _value(self) -> Mapping[str, Any]:
        """The schema without the None of what need not be given."""
        alternatives: list[Mapping[str, Any]] = self.schema.get("anyOf", [self.schema])
        return next((one for one in alternatives if one.get("type") != "null"), self.schema)


def options_of(group: type) -> dict[str, Option]:
    """All options of a class made by ``options``, those of its groups included, by name; of equal names the first."""
    found: dict[str, Option] = {}
    properties = TypeAdapter(group).json_schema().get("properties", {})
    for field in dataclasses.fields(group):
        inner, only = _group_of(field)
        if inner is None:
            found.setdefault(field.name, Option((field.name,), properties[field.name], _default(field)))
            continue
        default = _default(field)
        for name, option in options_of(inner).items():
            if only is None or name in only:
                value = (
                    option.default
                    if default is dataclasses.MISSING
                    else functools.reduce(getattr, option.path, default)
                )
                found.setdefault(name, Option((field.name, *option.path), option.schema, value))
    return found


def validated(
    group: type[Group],
    values: Mapping[str, Any],
    where: Mapping[str, str] | None = None,
    problems: Collection[str] = (),
) -> Group:
    """The object of a class made by ``options``, from values by name.

    Args:
        values: what is not given has its default. Under the name of a group may lie an object of it, which takes the
            place of the group's default.
        where: the file in which the value of a name was given, for messages.
        problems: what else is wrong.

    Raises:
        ValueError: listing all that is wrong.
    """
    found = [*problems, *_misplaced(group, values, where or {})]
    try:
        made: Group = TypeAdapter(group).validate_python(_nested(group, values))
    except pydantic.ValidationError as error:
        found += _problems(error, group, where or {})
    if found:
        raise ValueError(listed(found))
    return made


def as_values(made: Any) -> dict[str, Any]:
    """The values of all options by name, in types of JSON: the inverse of ``validated``."""
    content = TypeAdapter(type(made)).dump_python(made, mode="json")
    return {
        name: functools.reduce(lambda inner, key: inner[key], option.path, content)
        for name, option in options_of(type(made)).items()
    }


def as_flags(values: Mapping[str, Any]) -> list[str]:
    """The command line that gives values by name; None and false are left out."""
    flags = []
    for name, value in values.items():
        if value is None or value is False or value == []:
            continue
        given = [] if value is True else value if isinstance(value, list) else [value]
        flags += [f"--{name}", *map(str, given)]
    return flags


def listed(problems: Collection[str]) -> str:
    """One problem as it is, several as a list; each once."""
    found = list(dict.fromkeys(problems))
    return found[0] if len(found) == 1 else "\n  - ".join(["Several problems:", *found])


def _group_of(field: "dataclasses.Field[Any]") -> tuple[type | None, tuple[str, ...] | None]:
    """The class of a field that is a group, and its ``Only``."""
    kind, *extra = get_args(field.type) if get_origin(field.type) is Annotated else (field.type,)
    if not dataclasses.is_dataclass(kind):
        return None, None
    only = next((one.names for one in extra if isinstance(one, Only)), None)
    return kind, only  # type: ignore[return-value]


def _default(field: "dataclasses.Field[Any]") -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _nested(group: type, values: Mapping[str, Any], default: Any = dataclasses.MISSING) -> dict[str, Any]:
    """Values by name in the places of their groups, over those of the default of each group."""
    made = {}
    for field in dataclasses.fields(group):
        inner, only = _group_of(field)
        if inner is not None:
            given = values.get(field.name)
            given = given if isinstance(given, inner) else _default(field)
            chosen = values if only is None else {name: values[name] for name in only if name in values}
            made[field.name] = _nested(inner, chosen, given)
        elif field.name in values:
            made[field.name] = values[field.name]
        elif default is not dataclasses.MISSING:
            made[field.name] = getattr(default, field.name)
    return made


def _misplaced(group: type, values: Mapping[str, Any], where: Mapping[str, str]) -> list[str]:
    """One complaint for each name of a group under which lies no object of it, as a file may have it."""
    found = []
    for field in dataclasses.fields(group):
        inner, only = _group_of(field)
        if inner is None:
            continue
        if field.name in values and not isinstance(values[field.name], inner):
            place = f" in {where[field.name]}" if where.get(field.name) else ""
            names = [name for name in options_of(inner) if only is None or name in only]
            found.append(
                f"'{field.name}'{place} is no option. All options stand side by side, without groups; give those that "
                f"you mean there: {', '.join(names)}"
            )
        found += _misplaced(inner, values, where)
    return found


def _problems(error: pydantic.ValidationError, group: type, where: Mapping[str, str]) -> list[str]:
    """One line for each problem: name, rule and value; what a rule over several fields says is taken as it is."""
    declared, found = options_of(group), []
    for problem in error.errors(include_url=False):
        steps = [step for step in problem["loc"] if isinstance(step, str)]
        name = next((step for step in steps if step in declared), None)
        said = str(problem.get("ctx", {}).get("error", ""))
        if name is None and problem["type"] == "unexpected_keyword_argument":
            found.append(f"Unknown option '{steps[-1]}'. {nearest_name(steps[-1], declared)}")
        elif name is None:
            found.append(said or f"{'.'.join(steps)}: {problem['msg']}")
        elif problem["type"] == "missing":
            found.append(f"'{name}' is needed: {declared[name].help}")
        else:
            place = f" in {where[name]}" if where.get(name) else ""
            found.append(f"'{name}'{place} {_broken(declared[name], problem, said)}")
    return found


def _broken(option: Option, problem: Any, said: str) -> str:
    """The rule that a value breaks, and the value."""
    value, num_values = problem["input"], option.schema.get("minItems")
    is_no_list = problem["type"] in ("list_type", "tuple_type", "too_short", "too_long")
    rule = option.rule if not is_no_list else f"a list of {num_values} values" if num_values else "a list"
    is_outside = problem["type"].startswith(("greater_than", "less_than"))
    if option.type == "integer" and rule.startswith("in ") and not is_outside:
        rule = f"a whole number {rule}"
    near = [name for name in get_close_matches(str(value), option.choices or [], n=1) if name != value]
    text = said or f"must be {rule}"
    text += "" if "Got" in text else f". Got {short(value)}"
    return f"{text}. Did you mean '{near[0]}'?" if near and not said else text
