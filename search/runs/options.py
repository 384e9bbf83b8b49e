"""The options of ``run_boshnas``: the groups of data, search, recipe, budget and cluster together, and the files that
give them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, model_validator

from dataset.prepare import DataOptions
from design_space.command import CommandOptions, given_options
from design_space.files import read_yaml, unknown_keys
from design_space.options import Count, OneOf, Only, Place, Switch, below_home, options, options_of, validated
from design_space.plugins import load_plugins
from flexibert.runtimes.runner import Runtime

from ..baselines import BASELINES, SAME_SIZE
from ..candidate import origin_names
from ..objectives import SCORE, Goals, parse_limit
from ..optimizer.settings import BOSHNASSettings
from ..records.run_directory import RunDirectory
from ..tracking.destinations import Destination
from ..training.recipe import Recipe, load_recipe
from ..tune.options import BudgetOptions, ClusterOptions
from .roots import RootOptions
from .teaching import NONE, ROOT, TEACHERS

OBJECTIVES = (SCORE, "parameters", "flops", "latency_ms", "size_mb")
# What of the settings of BOSHNAS, and of a recipe, is a flag; the data have the last two as well.
SETTINGS = ("num_init", "surrogate", "origins", "min_overlap", "cost_aware", "patience")
OF_RECIPE = (
    *("epochs", "pretrain_steps", "batch_size", "learning_rate", "pretrain_learning_rate", "transfer_mode"),
    *("distillation_weight", "distillation_temperature"),
)
LENGTHS = ("max_length", "pretrain_length")


def _recipe(text: str) -> str:
    """A name, or the absolute path of a file: a run can be resumed from elsewhere."""
    return str(below_home(text).absolute()) if text.endswith((".yaml", ".yml")) else text


def teacher_or_place(text: str) -> str:
    """A word, or the absolute path of a folder."""
    return text if text in TEACHERS else str(below_home(text).absolute())


def _limit(text: str) -> str:
    """A constraint, as it is written."""
    if parse_limit(text)[0] not in OBJECTIVES[1:]:
        raise ValueError(f"must limit one of {', '.join(OBJECTIVES[1:])}. Got {text!r}")
    return text


def _levels(text: str) -> str:
    """Checked, and as it was."""
    parts = text.split(",")
    numbers = [int(part) for part in parts if part.strip().isdecimal()]
    is_falling = all(a > b for a, b in itertools.pairwise(numbers)) and numbers[-1:] != [0]
    if len(numbers) < len(parts) or not is_falling:
        raise ValueError("must be falling whole numbers with commas, for example 2,1")
    return text


@options
class GoalOptions:
    """What is searched for."""

    objectives: tuple[Annotated[str, OneOf(OBJECTIVES)], ...] = (SCORE,)
    """What is searched for: the score, which should be high, and others, which should be low."""
    constraints: tuple[Annotated[str, AfterValidator(_limit)], ...] = ()
    """The most that one of parameters, flops, latency_ms, size_mb may be, for example parameters=2e6 latency_ms=10
    ('parameters<=2e6' in quotes will do too)."""
    runtime: Runtime = "torch"
    """What runs the models whose latency_ms is measured and whose file has size_mb: torch, torch-compile, onnx or
    onnx-int8 (8-bit numbers)."""

    @model_validator(mode="after")
    def _check(self) -> "GoalOptions":
        self.goals()
        return self

    def goals(self) -> Goals:
        """The objectives and their limits."""
        return Goals(objectives=self.objectives, constraints=dict(map(parse_limit, self.constraints)))


@options
class SearchOptions(CommandOptions):
    """Search a graph library for the best architecture for a task."""

    prog: ClassVar[str] = "run_boshnas"
    dataset_file: Place | None = None
    """Graph library, as generate_library writes it; scores are added to it."""
    roots: RootOptions = RootOptions()
    run_dir: Place = Path("runs/boshnas")
    """Where everything of this run goes."""
    resume: Switch = False
    """Go on with the run in --run_dir; other flags override its saved ones."""
    config: Place | None = None
    """YAML file with any of these flags."""
    quiet: Switch = False
    """For logs: what went wrong, the result, and a line of progress every minute."""
    track: tuple[Destination, ...] = ()
    """Trackers that are told of every trial: mlflow[:URI], tensorboard:DIR, wandb[:PROJECT]."""
    models_dir: Place | None = None
    """Trained models by hash, shared between levels; RUN_DIR/models when not given."""
    prepared_dir: Place | None = None
    """Tokenised data, as prepare_data writes it; RUN_DIR/data when not given."""
    data: DataOptions = DataOptions()
    levels: Annotated[str, AfterValidator(_levels)] | None = None
    """Search the hierarchy in one run: layers per stack of its levels, the library's first, for example 2,1."""
    budget: BudgetOptions = BudgetOptions()
    cluster: ClusterOptions = ClusterOptions()
    settings: Annotated[BOSHNASSettings, Only(SETTINGS)] = field(
        default_factory=lambda: BOSHNASSettings(origins=origin_names())
    )
    wanted: GoalOptions = GoalOptions()
    recipe: Annotated[str, AfterValidator(_recipe)] | None = None
    """How candidates are trained: original, cpu, single-gpu, pretrained (with --start_from, when not given), or a YAML
    file; flags override it."""
    teacher: Annotated[str, AfterValidator(teacher_or_place)] | None = None
    """Whose outputs fine-tuning learns from, beside the labels: root (the encoder that the search starts from, once it
    is fine-tuned), best (the best one trained before a level begins), ensemble (the mean of the best three), none, or
    the folder of a model trained for this task; root with --start_from, else none, when not given."""
    baseline: tuple[Annotated[str, OneOf((*BASELINES, SAME_SIZE))], ...] = ()
    """Known architectures to train under the same recipe after the search, for comparison; same-size: a homogeneous
    one with as many layers and about as many parameters as the best found."""
    training: Annotated[Recipe, Only(OF_RECIPE + LENGTHS)] = Recipe()
    autotune: Switch = False
    """Try several fine-tuning recipes per candidate, twice as many in the last phase."""
    autotune_trials: Count = 4
    """Recipes tried per candidate with --autotune."""

    @model_validator(mode="after")
    def _check(self) -> "SearchOptions":
        if self.dataset_file is None and not self.roots.start_from:
            raise ValueError(
                "'dataset_file', a graph library, or 'start_from', a pre-trained encoder, must be given; "
                "generate_library --design_space small --dataset_file library.json makes a library"
            )
        if self.levels and self.dataset_file is None:
            raise ValueError("'levels' are those of a graph library: give its 'dataset_file'")
        num_levels = len(self.layers_per_stack) or 1
        if len(self.budget.max_trials or [0]) not in (1, num_levels):
            raise ValueError(f"'max_trials' must be one number, or one for each of the {num_levels} levels")
        if self.data.unlabelled is not None and self.chosen_teacher == NONE:
            raise ValueError(
                "'unlabelled' rows are labelled by a teacher; choose one with --teacher, or leave them out"
            )
        if self.budget.scheduler == "asha" and self.autotune:
            raise ValueError("'scheduler' asha compares trials epoch by epoch; it does not go with --autotune")
        if self.budget.confirm and (self.levels or self.cluster.storage):
            raise ValueError("'confirm' goes neither with 'levels' nor with 'storage'")
        return self

    @property
    def layers_per_stack(self) -> tuple[int, ...]:
        """Of each level; empty where one level is searched."""
        return tuple(map(int, self.levels.split(","))) if self.levels else ()

    @property
    def library_file(self) -> Path:
        """``dataset_file``, of a search that has one."""
        assert self.dataset_file is not None
        return self.dataset_file

    @property
    def chosen_teacher(self) -> str:
        """``teacher``, also where it is not given."""
        return self.teacher or (ROOT if self.roots.start_from else NONE)

    @property
    def tuned_recipe(self) -> Recipe:
        """How candidates are trained, with the number of tries of ``--autotune``."""
        return replace(self.training, autotune_trials=self.autotune_trials) if self.autotune else self.training

    def of_level(self, number: int, dataset_file: Path, **places: Any) -> "SearchOptions":
        """The options of one of the levels, counted from 0; baselines are for the last."""
        most = self.budget.max_trials
        return replace(
            self,
            levels=None,
            dataset_file=dataset_file,
            budget=replace(self.budget, max_trials=most and (most[min(number, len(most) - 1)],)),
            baseline=self.baseline if number + 1 == len(self.layers_per_stack) else (),
            **places,
        )


def parse(arguments: Sequence[str] | None) -> SearchOptions:
    """Options by rising priority: defaults, ``--recipe``, the saved run (with ``--resume``), ``--config``, flags.

    Raises:
        ValueError: for a bad configuration file, or nothing to resume.
    """
    given = given_options(SearchOptions, arguments)
    layers = [("", given)]
    if "config" in given:
        config = below_home(given["config"]).absolute()
        layers.insert(0, (str(config), read_yaml(config)))
    if given.get("resume"):
        run_dir = below_home(given.get("run_dir", SearchOptions.run_dir)).absolute()
        layers.insert(0, ("the saved run", RunDirectory(run_dir).saved_config()))
    return search_options(*layers)


def search_options(*layers: tuple[str, Mapping[str, Any]]) -> SearchOptions:
    """The options of a search from values by name.

    Args:
        layers: where values come from, for messages, and the values, by rising priority; None is no value.

    Raises:
        ValueError: listing all that is wrong.
    """
    values: dict[str, Any] = {}
    where: dict[str, str] = {}
    for source, content in layers:
        there = {name: value for name, value in content.items() if value is not None}
        values |= there
        where |= dict.fromkeys(there, source)
    if isinstance(values.get("plugin"), list):
        load_plugins(map(str, values["plugin"]))
    declared = options_of(SearchOptions)
    problems = [problem for source, content in layers for problem in unknown_keys(content, declared, source)]
    if values.get("start_from"):
        values.setdefault("recipe", "pretrained")
    recipe = load_recipe(_recipe(str(values["recipe"]))) if "recipe" in values else Recipe()
    of_recipe = {name: getattr(recipe, name) for name in LENGTHS}
    return validated(SearchOptions, of_recipe | values | {"training": recipe}, where, problems)
