"""The flags of ``run_boshnas``: their defaults, files that give them, and what they make."""

import argparse
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset.prepare import add_data_flags
from design_space.command import ArgumentParser, positive, positive_number
from design_space.files import read_yaml, unknown_keys

from ..baselines import BASELINES, SAME_SIZE
from ..candidate import origin_names
from ..objectives import SCORE, Goals, parse_limit
from ..optimizer.settings import BOSHNASSettings
from ..records.run_directory import RunDirectory
from ..surrogates import SURROGATES
from ..training.recipe import RECIPES, Recipe, load_recipe
from ..tune.runner import SCHEDULERS

OBJECTIVES = (SCORE, "parameters", "flops", "latency_ms")


def make_parser() -> ArgumentParser:
    """All flags, with the defaults of the search."""
    parser = ArgumentParser(
        prog="run_boshnas", description="Search a graph library for the best architecture for a task."
    )
    _add_place_flags(parser)
    add_data_flags(parser)
    _add_run_flags(parser)
    _add_search_flags(parser)
    _add_training_flags(parser)
    return parser


def _add_place_flags(parser: ArgumentParser) -> None:
    """Where everything lies, and what is said."""
    add = parser.add_argument
    add(
        "--dataset_file",
        type=Path,
        default=None,
        help="graph library, as generate_library writes it; scores are added to it",
    )
    add("--run_dir", type=Path, default=Path("runs/boshnas"), help="where everything of this run goes")
    add("--resume", action="store_true", help="go on with the run in --run_dir; other flags override its saved ones")
    add("--config", type=Path, default=None, help="YAML file with any of these flags")
    add(
        "--quiet",
        action="store_true",
        help="for logs: what went wrong, the result, and a line of progress every minute",
    )
    add(
        "--models_dir",
        type=Path,
        default=None,
        help="trained models by hash, shared between levels; RUN_DIR/models when not given",
    )
    add(
        "--prepared_dir",
        type=Path,
        default=None,
        help="tokenised data, as prepare_data writes it; RUN_DIR/data when not given",
    )


def _add_run_flags(parser: ArgumentParser) -> None:
    """How long is searched, and with which means."""
    add = parser.add_argument
    add(
        "--levels",
        type=_levels,
        default=None,
        help="search the hierarchy in one run: layers per stack of its levels, the library's first, for example 2,1",
    )
    add(
        "--max_trials",
        type=_max_trials,
        default=None,
        help="stop after this many finished trials; of each level, or one number a level (7,6); when not given, when "
        "BOSHNAS converges",
    )
    add(
        "--max_hours",
        type=positive_number,
        default=None,
        help="propose nothing more when the trials (of a level) have trained this long together",
    )
    add(
        "--keep_models",
        type=positive,
        default=None,
        help="keep the weights of this many best models of the run (of each level), of parents in use and of other "
        "runs only; all when not given",
    )
    add(
        "--scheduler",
        choices=SCHEDULERS,
        default="none",
        help="asha: stop trials early whose score after some epochs is not among the best third (successive halving)",
    )
    add("--max_concurrent", type=positive, default=None, help="trials side by side; as many as fit when not given")
    add(
        "--resources_per_trial",
        type=_resources,
        default={"cpu": 1.0},
        help="what a trial takes, for example cpu=2,gpu=0.5",
    )
    add(
        "--address",
        default=None,
        help="running Ray cluster (host:port, ray://host:port or auto); a local Ray is started when not given",
    )
    add(
        "--storage",
        type=_storage,
        default=None,
        help="where data and weights travel when nodes of the cluster share no folder: a URI that fsspec can open, for "
        "example s3://bucket/folder",
    )


def _add_search_flags(parser: ArgumentParser) -> None:
    """The flags of ``BOSHNASSettings``, and what is shown."""
    settings, add = BOSHNASSettings(), parser.add_argument
    add("--num_init", type=positive, default=settings.num_init, help="architectures trained from scratch first")
    add("--surrogate", choices=list(SURROGATES), default=settings.surrogate, help="model of the score")
    add(
        "--origins",
        nargs="+",
        choices=origin_names(),
        default=list(origin_names()),
        help="kinds of first weights that may be proposed; prune, stitch and merge make children of the best trained, "
        "which need not be members of the library: 'scratch transfer' keeps to these",
    )
    add(
        "--min_overlap",
        type=float,
        default=settings.min_overlap,
        help="share of parameters a parent must fill for a transfer",
    )
    add(
        "--cost_aware",
        action="store_true",
        help="of the most promising candidates, train the one of highest expected improvement per predicted second",
    )
    add(
        "--patience",
        type=positive,
        default=settings.patience,
        help="optimisation steps without a new best that end a phase",
    )
    add(
        "--objectives",
        nargs="+",
        choices=OBJECTIVES,
        default=[SCORE],
        help="what is searched for: the score, which should be high, and others, which should be low",
    )
    add(
        "--constraints",
        nargs="*",
        type=_limit,
        default=[],
        metavar="NAME=LIMIT",
        help=f"the most that one of {', '.join(OBJECTIVES[1:])} may be, for example parameters=2e6 latency_ms=10 "
        "('parameters<=2e6' in quotes will do too)",
    )


def _add_training_flags(parser: ArgumentParser) -> None:
    """The flags of ``Recipe``."""
    recipe, add = Recipe(), parser.add_argument
    add(
        "--recipe",
        type=_recipe,
        default=None,
        help=f"how candidates are trained: {', '.join(RECIPES)}, or a YAML file; flags override it",
    )
    add(
        "--baseline",
        nargs="*",
        choices=[*BASELINES, SAME_SIZE],
        default=[],
        help="known architectures to train under the same recipe after the search, for comparison; same-size: a "
        "homogeneous one with as many layers and about as many parameters as the best found",
    )
    add("--epochs", type=positive, default=recipe.epochs, help="epochs of fine-tuning")
    add(
        "--pretrain_steps",
        type=int,
        default=recipe.pretrain_steps,
        help="steps of masked-LM pre-training of candidates from scratch",
    )
    add("--batch_size", type=positive, default=recipe.batch_size, help="texts per step of fine-tuning")
    add("--learning_rate", type=float, default=recipe.learning_rate, help="of fine-tuning")
    add("--pretrain_learning_rate", type=float, default=recipe.pretrain_learning_rate, help="of pre-training")
    add(
        "--transfer_mode",
        choices=["consistent", "OD", "RP"],
        default=recipe.transfer_mode,
        help="how a parent's weights are fitted: consistent maps, ordered transfer or random projection",
    )
    add(
        "--autotune",
        action="store_true",
        help="try several fine-tuning recipes per candidate, twice as many in the last phase",
    )
    add("--autotune_trials", type=positive, default=4, help="recipes tried per candidate with --autotune")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options by rising priority: defaults, ``--recipe``, the saved run (with ``--resume``), ``--config``, flags. Paths
    come out absolute.

    Raises:
        ValueError: for a bad configuration file, or nothing to resume.
    """
    parser = make_parser()
    first = parser.parse_args(arguments)
    saved = RunDirectory(first.run_dir.absolute()).saved_config() if first.resume else {}
    config = read_yaml(first.config) if first.config is not None else {}
    name = first.recipe or config.get("recipe") or saved.get("recipe")
    if name is not None:
        flags = {field.name for field in dataclasses.fields(Recipe)} & vars(first).keys() - {"autotune_trials"}
        parser.set_defaults(recipe=name, **{flag: getattr(load_recipe(name), flag) for flag in flags})
    _set_defaults(parser, saved, "the saved run")
    _set_defaults(parser, config, str(first.config))
    options = parser.parse_args(arguments)
    for name, value in vars(options).items():
        setattr(options, name, _absolute(value))
    if options.dataset_file is None:
        raise ValueError("'--dataset_file' is needed: the graph library to search. Make one with generate_library")
    num_levels = len(options.levels.split(",")) if options.levels else 1
    if isinstance(options.max_trials, list) and len(options.max_trials) != num_levels:
        raise ValueError(f"'max_trials' must be one number, or one for each of the {num_levels} levels")
    if options.scheduler == "asha" and options.autotune:
        raise ValueError("'scheduler' asha compares trials epoch by epoch; it does not go with --autotune")
    return options


def settings_of(options: argparse.Namespace) -> BOSHNASSettings:
    """The searcher's settings among the options."""
    return BOSHNASSettings(
        num_init=options.num_init,
        surrogate=options.surrogate,
        origins=tuple(options.origins),
        cost_aware=options.cost_aware,
        min_overlap=options.min_overlap,
        patience=options.patience,
    )


def goals_of(options: argparse.Namespace) -> Goals:
    """What is searched for, among the options."""
    return Goals(objectives=tuple(options.objectives), constraints=dict(map(parse_limit, options.constraints)))


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The training recipe among the options."""
    fields = {field.name for field in dataclasses.fields(Recipe)} & vars(options).keys() - {"autotune_trials"}
    recipe = load_recipe(options.recipe) if options.recipe else Recipe()
    tries = options.autotune_trials if options.autotune else recipe.autotune_trials
    return dataclasses.replace(recipe, **{name: getattr(options, name) for name in fields}, autotune_trials=tries)


def _set_defaults(parser: ArgumentParser, content: dict[str, Any], where: str) -> None:
    """Take a file's values as defaults, each through its flag's own type and choices."""
    actions = {action.dest: action for action in parser._actions if action.dest != "help"}
    problems = unknown_keys(content, tuple(actions), where)
    for name, value in content.items():
        if name not in actions or value is None:
            continue
        action = actions[name]
        try:
            values = [_typed(action, entry) for entry in (value if isinstance(value, list) else [value])]
        except (ValueError, argparse.ArgumentTypeError) as error:
            problems.append(f"'{name}' in {where}: {error}")
            continue
        if wrong := [entry for entry in values if action.choices is not None and entry not in action.choices]:
            problems.append(
                f"'{name}' in {where} must be one of {', '.join(map(str, action.choices or ()))}. Got {wrong[0]!r}"
            )
        parser.set_defaults(**{name: values if isinstance(value, list) else values[0]})
    if problems:
        raise ValueError("\n  - ".join([f"Problems in {where}:", *problems]))


def _typed(action: argparse.Action, value: Any) -> Any:
    if isinstance(action, argparse._StoreTrueAction):
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false. Got {value!r}")
        return value
    if isinstance(value, dict):
        value = ",".join(f"{key}={amount}" for key, amount in value.items())
    return value if action.type is None else action.type(str(value))  # type: ignore[operator]


def _limit(text: str) -> str:
    """A constraint, as it is written."""
    try:
        name, _ = parse_limit(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if name not in OBJECTIVES[1:]:
        raise argparse.ArgumentTypeError(f"must limit one of {', '.join(OBJECTIVES[1:])}. Got {text!r}")
    return text


def _max_trials(text: str) -> int | list[int]:
    numbers = [positive(part) for part in text.split(",")]
    return numbers if len(numbers) > 1 else numbers[0]


def _levels(text: str) -> str:
    """Checked, and as it was."""
    try:
        layers_per_stack = [positive(part) for part in text.split(",")]
    except argparse.ArgumentTypeError:
        layers_per_stack = []
    if not layers_per_stack or any(b >= a for a, b in itertools.pairwise(layers_per_stack)):
        raise argparse.ArgumentTypeError(f"must be falling whole numbers with commas, for example 2,1. Got {text!r}")
    return text


def _storage(text: str) -> str:
    """A URI, or an absolute path."""
    return text if "://" in text else str(Path(text).absolute())


def _recipe(text: str) -> str:
    """A name, or the absolute path of a file: a run can be resumed from elsewhere."""
    return str(Path(text).absolute()) if text.endswith((".yaml", ".yml")) else text


def _resources(text: str) -> dict[str, float]:
    resources = {}
    for part in text.split(","):
        name, _, amount = part.partition("=")
        try:
            resources[name.strip()] = float(amount)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be written like cpu=2,gpu=0.5. Got {text!r}") from None
    is_finite = all(0 <= amount < float("inf") for amount in resources.values())
    if not set(resources) <= {"cpu", "gpu"} or not is_finite or not any(resources.values()):
        raise argparse.ArgumentTypeError(f"must give cpu, gpu or both, above 0 and finite. Got {text!r}")
    return resources


def _absolute(value: Any) -> Any:
    """Paths made absolute: Tune changes the working directory."""
    if isinstance(value, list):
        return [_absolute(entry) for entry in value]
    return value.absolute() if isinstance(value, Path) else value
