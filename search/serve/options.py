"""Which options a client may set, and whether they are right, before anything is started.

The options are the commands' own. A value that could name a place on the server is refused: allowed are numbers,
switches, choices, and the few texts of ``_TEXTS``. An option added to a command later is thus refused until it is known
to be safe.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dataset.tables.options import TableOptions
from design_space.files import nearest_name
from design_space.options import Option as Declared
from design_space.options import as_values, options_of, short, validated
from embeddings.generate_library import SpaceLibraryOptions

from ..runs.options import SearchOptions, search_options
from ..training.recipe import RECIPES
from .schemas import Option
from .settings import HUB_NAME

TABLE_OPTIONS = tuple(name for name in options_of(TableOptions) if name not in ("validation_file", "test_file"))
_TEXTS = (*TABLE_OPTIONS, "constraints", "recipe", "tokenizer", "resources_per_trial")
GOALS = ("faster", "smaller", "latency_ms", "max_drop")
"""Options that make a search from an encoder one of ``shrink_model``."""
_OF_THE_SERVER = ("help", "resume", "n_jobs", "quiet", "plugin")
_LONGEST_TEXT = 200
_MOST_ENTRIES = 100


def describe_options(group: type) -> dict[str, Option]:
    """What a client may set, by name."""
    return {
        name: Option(help=option.help, default=option.default, choices=option.choices, several=option.takes_several)
        for name, option in _open_options(group).items()
    }


def is_shrinking(options: Mapping[str, Any], start_from: str | None) -> bool:
    """Whether a search makes an encoder smaller (``shrink_model``), and does not search its parts (``run_boshnas``)."""
    return start_from is not None and any(options.get(name) is not None for name in GOALS)


def check_search_options(given: Mapping[str, Any], start_from: str | None = None) -> dict[str, Any]:
    """The options of a search as YAML keeps them, without those that are None.

    Args:
        start_from: the encoder that it starts from.

    Raises:
        ValueError: listing all unknown and closed options and wrong values, and what does not go together.
    """
    if is_shrinking(given, start_from):
        from ..runs.shrink_run import ShrinkOptions  # here: it imports Ray, which no other search needs

        ours, where = {"model": start_from, "target": "model"}, dict.fromkeys(given, "options")
        return _checked(
            given, ShrinkOptions, "options", lambda values: validated(ShrinkOptions, ours | dict(values), where)
        )
    if goals := [name for name in GOALS if name in given]:
        raise ValueError(f"{', '.join(map(repr, goals))} in options compare with an encoder: give one in 'start_from'")
    source = {"dataset_file": "library.json"} if start_from is None else {"start_from": [start_from]}
    return _checked(given, SearchOptions, "options", lambda values: search_options(("", source), ("options", values)))


def check_library_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a library, as ``check_search_options``."""
    where = dict.fromkeys(given, "library_options")
    return _checked(
        given, SpaceLibraryOptions, "library_options", lambda values: validated(SpaceLibraryOptions, values, where)
    )


def _checked(
    given: Mapping[str, Any], group: type, where: str, read: Callable[[Mapping[str, Any]], Any]
) -> dict[str, Any]:
    declared, allowed = options_of(group), _open_options(group)
    problems, values = [], {}
    for name, value in given.items():
        if name not in allowed:
            is_closed = name in declared or name in _OF_THE_SERVER
            unknown = f"Unknown option '{name}' in {where}. {nearest_name(str(name), allowed)}"
            problems.append(f"'{name}' in {where} is not for clients; leave it out" if is_closed else unknown)
        elif value is not None and (problem := _shape_problem(name, allowed[name], value)):
            problems.append(f"'{name}' in {where} {problem}")
        elif value is not None:
            values[name] = value
    try:
        made = as_values(read(values))
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return {name: made[name] for name in values}


def _open_options(group: type) -> dict[str, Declared]:
    """Those whose values cannot lead out of a search's folder, nor to other machines."""
    return {
        name: option
        for name, option in options_of(group).items()
        if name not in _OF_THE_SERVER and (option.type != "string" or option.choices or name in _TEXTS)
    }


def _shape_problem(name: str, option: Declared, value: Any) -> str | None:
    """What is wrong with a value before its meaning is looked at."""
    if not option.takes_several:
        return _entry_problem(name, option, value)
    if not isinstance(value, list) or len(value) > _MOST_ENTRIES:
        return f"must be a list. Got {short(value)}"
    return next(filter(None, (_entry_problem(name, option, entry) for entry in value)), None)


def _entry_problem(name: str, option: Declared, value: Any) -> str | None:
    if name == "resources_per_trial" and isinstance(value, Mapping):
        return None
    if not isinstance(value, str | int | float):
        return f"must be {option.rule}. Got {short(value)}"
    if name not in _TEXTS:
        return None
    text = str(value)
    if len(text) > _LONGEST_TEXT or (not text.isprintable() and name != "label_separator"):
        return f"must be at most {_LONGEST_TEXT} printable characters. Got {short(text)}"
    if name == "recipe" and text not in RECIPES:
        return f"must be one of {', '.join(RECIPES)}. Got {short(text)}"
    if name == "tokenizer" and (not HUB_NAME.fullmatch(text) or ".." in text):
        return f"must be 'train' or a name on the Hub. Got {short(text)}"
    return None
