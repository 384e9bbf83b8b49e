"""``python -m search.reference`` prints ``docs/reference.md``: every command with its options, as they are declared."""

from collections.abc import Iterator, Mapping

from dataset.prepare import PrepareDataOptions
from design_space.command import CommandOptions, describe, shown_default
from design_space.options import Option, options_of
from embeddings.generate_library import GenerateLibraryOptions
from flexibert.commands import merge_layers, prune, retrain_block, stitch, transfer
from flexibert.convert_bert import ConvertOptions

from .benchmark.__main__ import BenchmarkOptions
from .evaluation import EvaluationOptions
from .hierarchical import HierarchicalOptions
from .quickstart import QuickstartOptions
from .report.__main__ import ReportOptions
from .runs.options import SearchOptions
from .runs.shrink_run import ShrinkOptions
from .serve.__main__ import ServeOptions
from .track import TrackOptions
from .training.recipe import Recipe

COMMANDS: tuple[type[CommandOptions], ...] = (
    GenerateLibraryOptions,
    SearchOptions,
    ShrinkOptions,
    HierarchicalOptions,
    PrepareDataOptions,
    ConvertOptions,
    *(command.Options for command in (transfer, stitch, prune, merge_layers, retrain_block)),
    EvaluationOptions,
    BenchmarkOptions,
    ReportOptions,
    TrackOptions,
    QuickstartOptions,
    ServeOptions,
)
_HEAD = """# Reference

Every command and its options. This page is made by `python -m search.reference > docs/reference.md`; edit the
declarations, not the page. Every command also has `--help` and `--version`, and `--plugin MODULE [MODULE ...]`, which
imports modules of your own first, here and on every worker. Several values stand with spaces between them. Paths may
begin with `~`; they are made absolute when read. The keys of a YAML file for `--config` are the same names."""


def reference() -> str:
    """The page, in Markdown."""
    sections = [_HEAD]
    for command in COMMANDS:
        options = {name: option for name, option in options_of(command).items() if name != "plugin"}
        sections.append(f"## `{command.prog}`\n\n{describe(command)}\n\n" + "\n".join(_table(options)))
    recipe = "\n".join(_table(options_of(Recipe), flags=False))
    sections.append(f"## Recipes\n\nThe keys of a YAML file for `--recipe`.\n\n{recipe}")
    return "\n\n".join(sections) + "\n"


def _table(options: Mapping[str, Option], *, flags: bool = True) -> Iterator[str]:
    yield "| option | must be | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, option in options.items():
        is_flag = flags and not option.schema.get("positional")
        names = [f"--{name}" if is_flag else name, *filter(None, [option.schema.get("also")])]
        unit = option.schema.get("unit")
        rule = option.rule + (f" ({unit})" if unit else "") + (", several" if option.takes_several else "")
        default = shown_default(option)
        default = f"`{default}`" if default else "" if option.is_optional else "needed"
        cells = (", ".join(f"`{one}`" for one in names), rule, default, option.help)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    print(reference(), end="")
