"""Which options a client may set, and whether they are right, before anything is started.

The flags come from the commands' own parsers. A value that could name a place on the server is refused: allowed are
numbers, switches, choices, and the few texts of ``_TEXTS``. A flag added to a command later is thus refused until it is
known to be safe.
"""

import argparse
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset.corpora.python_docs import EMBEDDED_TASK
from design_space.command import ArgumentParser
from design_space.files import nearest_name
from embeddings.generate_library import add_library_flags

from ..runs.options import goals_of, make_parser, parse, recipe_of, settings_of
from ..training.recipe import RECIPES
from .schemas import Option

TABLE_OPTIONS = ("text_column", "text_pair_column", "label_column", "label_separator", "metric")
_TEXTS = (*TABLE_OPTIONS, "constraints", "recipe", "tokenizer", "resources_per_trial")
_OF_THE_SERVER = ("help", "resume", "n_jobs", "quiet")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_LONGEST_TEXT = 200


def search_parser() -> ArgumentParser:
    """The flags of ``run_boshnas``."""
    return make_parser()


def library_parser() -> ArgumentParser:
    """The flags of ``generate_library`` that say how a library is built."""
    parser = ArgumentParser(prog="generate_library", description="")
    parser.add_argument("--layers_per_stack", type=int, default=2, help="equal layers per stack")
    add_library_flags(parser)
    return parser


def describe_options(parser: ArgumentParser) -> dict[str, Option]:
    """What a client may set, by name."""
    return {
        name: Option(
            help=action.help or "",
            default=action.default,
            choices=None if action.choices is None else [str(choice) for choice in action.choices],
            several=action.nargs in ("*", "+"),
        )
        for name, action in _actions(parser).items()
        if _is_open(action)
    }


def check_options(given: Mapping[str, Any], parser: ArgumentParser, where: str) -> dict[str, Any]:
    """The options as YAML keeps them, without those that are None.

    Raises:
        ValueError: listing all unknown and closed options and wrong values.
    """
    actions = _actions(parser)
    allowed = [name for name, action in actions.items() if _is_open(action)]
    problems, checked = [], {}
    for name, value in given.items():
        if name in allowed and value is not None:
            try:
                checked[name] = _value(actions[name], value)
            except (ValueError, argparse.ArgumentTypeError) as error:
                problems.append(f"'{name}' in {where} {error}")
        elif name in actions:
            if name not in allowed:
                problems.append(f"'{name}' in {where} is not for clients; leave it out")
        else:
            problems.append(f"Unknown option '{name}' in {where}. {nearest_name(str(name), allowed)}")
    if problems:
        raise ValueError("\n".join(problems))
    return checked


def check_together(options_file: Path) -> None:
    """Whether options that are right one by one make a search: its recipe, settings and goals.

    Raises:
        ValueError: listing what is wrong.
    """
    flags = ["--config", str(options_file), "--dataset_file", "library.json", "--task", EMBEDDED_TASK]
    parsed = parse(flags)
    problems = []
    for make in (recipe_of, settings_of, goals_of):
        try:
            make(parsed)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))


def _actions(parser: ArgumentParser) -> dict[str, argparse.Action]:
    return {action.dest: action for action in parser._actions}


def _is_open(action: argparse.Action) -> bool:
    """Whether its values cannot lead out of a search's folder, nor to other machines."""
    if action.dest in _OF_THE_SERVER or action.type is Path:
        return False
    if action.dest in _TEXTS or action.choices is not None or isinstance(action, argparse._StoreTrueAction):
        return True
    if not callable(action.type):
        return False
    try:  # a type that makes numbers, of one that makes anything else
        return isinstance(_convert(action, "1"), (int, float))
    except (ValueError, TypeError, argparse.ArgumentTypeError):
        return False


def _value(action: argparse.Action, value: Any) -> Any:
    if action.nargs in ("*", "+"):
        if not isinstance(value, list) or len(value) > 100 or (action.nargs == "+" and not value):
            raise ValueError(f"must be a list. Got {_short(value)}")
        return [_single(action, entry) for entry in value]
    return _single(action, value)


def _single(action: argparse.Action, value: Any) -> Any:
    if isinstance(action, argparse._StoreTrueAction):
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false. Got {_short(value)}")
        return value
    if action.choices is not None:
        if value not in action.choices:
            raise ValueError(f"must be one of {', '.join(map(str, action.choices))}. Got {_short(value)}")
        return value
    if action.dest == "resources_per_trial" and isinstance(value, Mapping):
        value = ",".join(f"{key}={amount}" for key, amount in value.items())
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"must be a {'text' if action.dest in _TEXTS else 'number'}. Got {_short(value)}")
    if action.dest in _TEXTS:
        return _text(action, value)
    try:
        number = _convert(action, str(value))
    except ValueError:
        kind = "whole number" if action.type is int else "number"
        raise ValueError(f"must be a {kind}. Got {_short(value)}") from None
    if not isinstance(number, (int, float)):
        raise ValueError(f"must be one number. Got {_short(value)}")
    if not math.isfinite(number):
        raise ValueError(f"must be finite. Got {_short(value)}")
    return number


def _text(action: argparse.Action, value: Any) -> str | dict[str, float]:
    text = str(value)
    if len(text) > _LONGEST_TEXT or (not text.isprintable() and action.dest != "label_separator"):
        raise ValueError(f"must be at most {_LONGEST_TEXT} printable characters. Got {_short(text)}")
    if action.dest == "recipe" and text not in RECIPES:
        raise ValueError(f"must be one of {', '.join(RECIPES)}. Got {_short(text)}")
    if action.dest == "tokenizer" and (not _HUB_NAME.fullmatch(text) or ".." in text):
        raise ValueError(f"must be 'train' or a name on the Hub. Got {_short(text)}")
    if action.dest == "resources_per_trial":
        resources: dict[str, float] = _convert(action, text)
        if not all(math.isfinite(amount) and amount >= 0 for amount in resources.values()):
            raise ValueError(f"must be finite amounts of at least 0. Got {_short(text)}")
        return resources
    if action.dest == "constraints":
        _convert(action, text)
    return text


def _convert(action: argparse.Action, text: str) -> Any:
    assert callable(action.type)
    return action.type(text)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
