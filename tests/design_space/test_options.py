"""Options are declared once: flags, files and messages follow."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest

from design_space.command import CommandOptions, read_options
from design_space.options import (
    ARGUMENT,
    Count,
    Length,
    OneOf,
    Only,
    Place,
    Positive,
    Share,
    Switch,
    as_flags,
    as_values,
    flag,
    options,
    options_of,
    validated,
)

COLORS = {"red": 1, "green": 2}


@options
class Inner:
    size: Annotated[Count, flag(unit="tokens")] = 3
    """Size of it."""
    hidden: Share = 0.5
    """Share that is no flag."""


@options
class Outer(CommandOptions):
    """Paint something.

    In color.
    """

    prog: ClassVar[str] = "paint"
    source: Annotated[Place, ARGUMENT]
    """Folder to read."""
    colors: tuple[Annotated[str, OneOf(COLORS)], ...] = ("red",)
    """Colors to paint in, 100 % sure."""
    size: Count = 4
    """Size of both."""
    inner: Annotated[Inner, Only(("size",))] = Inner(hidden=0.25)
    mode: Literal["a", "b"] = "a"
    """Mode of painting."""
    hours: Positive | None = None
    """Time it takes; no limit when not given."""
    dry: Switch = False
    """Paint nothing."""


def test_flags_are_read_into_groups_and_written_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    made = read_options(Outer, ["~/x", "--colors", "red", "green", "--size", "7", "--hours", "1e-1", "--dry"])
    assert made.source == Path("/home/me/x")
    assert (made.colors, made.size, made.inner.size, made.hours, made.dry) == (("red", "green"), 7, 7, 0.1, True)
    assert made.inner.hidden == 0.25  # of the group's default
    values = as_values(made)
    assert values == {
        "plugin": [],
        "source": "/home/me/x",
        "colors": ["red", "green"],
        "size": 7,
        "mode": "a",
        "hours": 0.1,
        "dry": True,
    }
    assert validated(Outer, values) == made
    flags = as_flags({name: value for name, value in values.items() if name != "source"})
    assert flags == ["--colors", "red", "green", "--size", "7", "--mode", "a", "--hours", "0.1", "--dry"]
    assert read_options(Outer, ["/home/me/x", *flags]) == made
    assert read_options(Outer, ["y"]).source == tmp_path / "y"


def test_all_problems_are_told_at_once_with_rule_value_and_place():
    values = {"colors": ["red", "greem"], "size": True, "mode": "c", "hours": "inf", "dry": "yes"}
    with pytest.raises(ValueError, match="Several problems") as error:
        validated(Outer, values, {"size": "x.yaml"}, ["Something else."])
    assert str(error.value).splitlines()[1:] == [
        "  - Something else.",
        "  - 'source' is needed: Folder to read.",
        "  - 'colors' must be one of red, green. Got 'greem'. Did you mean 'green'?",
        "  - 'size' in x.yaml must be a whole number of at least 1. Got True",
        "  - 'mode' must be one of a, b. Got 'c'",
        "  - 'hours' must be a finite number above 0. Got 'inf'",
        "  - 'dry' must be true or false. Got 'yes'",
    ]
    with pytest.raises(ValueError, match="^'colors' must be a list. Got 'red'$"):
        validated(Outer, {"source": "x", "colors": "red"})
    with pytest.raises(ValueError, match="^'colors' must be a list. Got 'rd'. Did you mean 'red'\\?$"):
        validated(Outer, {"source": "x", "colors": "rd"})
    with pytest.raises(ValueError, match=r"^'hidden' must be in \[0, 1\]. Got 2$"):
        Inner(hidden=2)
    with pytest.raises(ValueError, match="Unknown option 'sise'. Did you mean 'size'"):
        Inner(sise=2)


@options
class Bounded:
    tokens: Length = 3
    """Some tokens."""
    share: Share = 0.5
    """Some share."""


@pytest.mark.parametrize(
    "value", ["64.5", "1e2", "many", 64.5, None, [1], True, "1" * 5000], ids=lambda value: str(value)[:8]
)
def test_what_is_no_whole_number_is_told_so_where_there_are_bounds(value):
    with pytest.raises(ValueError, match=r"^'tokens' must be a whole number in \[0, 1e\+06\]. Got "):
        validated(Bounded, {"tokens": value})


def test_a_whole_number_outside_of_bounds_is_told_these():
    with pytest.raises(ValueError, match=r"^'tokens' must be in \[0, 1e\+06\]. Got '1000001'$"):
        validated(Bounded, {"tokens": "1000001"})
    with pytest.raises(ValueError, match=r"^'share' must be in \[0, 1\]. Got 'half'$"):
        validated(Bounded, {"share": "half"})
    assert validated(Bounded, {"tokens": "64.0"}).tokens == 64


@options
class Whole:
    """A group in a group."""

    outer: Outer = Outer(source=Path("x"))


@pytest.mark.parametrize("value", [{"size": 7}, 7, "size", None, []], ids=str)
def test_the_name_of_a_group_is_no_option(value):
    message = (
        "'inner' in x.yaml is no option. All options stand side by side, without groups; give those that you mean "
        "there: size"
    )
    for group, values in ((Outer, {"source": "y"}), (Whole, {})):
        with pytest.raises(ValueError, match="is no option") as error:
            validated(group, {**values, "inner": value}, {"inner": "x.yaml"})
        assert str(error.value) == message
    assert validated(Outer, {"source": "y", "inner": Inner(size=7, hidden=0.5)}).inner == Inner(size=7, hidden=0.5)


def test_names_of_a_registry_are_those_of_now(monkeypatch):
    monkeypatch.setitem(COLORS, "blue", 3)
    assert options_of(Outer)["colors"].choices == ["red", "green", "blue"]
    assert validated(Outer, {"source": "x", "colors": ["blue"]}).colors == ("blue",)


def test_help_tells_defaults_and_an_unknown_flag_only_the_nearest(capsys):
    with pytest.raises(SystemExit):
        read_options(Outer, ["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "usage: paint" in told
    assert "Paint something. " in told
    assert "In color" not in told
    assert "Colors to paint in, 100 % sure. (default: red)" in told
    assert "--mode {a,b}" in told
    for arguments, message in (
        (["x", "--colours"], "unknown argument --colours. Did you mean '--colors'?\nSee paint --help"),
        (["x", "--zzzzzz=3"], "unknown argument --zzzzzz.\nSee paint --help"),
        (["x", "--size"], "argument --size: expected one argument\nSee paint --help"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            read_options(Outer, arguments)


def test_an_empty_path_is_not_the_working_folder() -> None:
    with pytest.raises(ValueError, match="'source' must not be empty. Got ''"):
        read_options(Outer, [""])
