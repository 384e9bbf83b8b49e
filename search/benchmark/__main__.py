"""The command ``python -m search.benchmark``: which searcher finds good architectures with the fewest trainings."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from rich.console import Console
from rich.progress import Progress as ProgressBar
from rich.table import Table as TextTable

from design_space.command import CommandOptions, read_options, run_command
from design_space.files import write_atomically
from design_space.options import Count, OneOf, Place, Switch, Whole, options

from ..objectives import SCORE, Goals
from ..surrogates import SURROGATES
from .plot import draw_curves
from .pool import Pool, library_of
from .quality import check_observed, quality_table, surrogate_quality
from .replay import replay_all
from .searchers import ONE_OBJECTIVE, check_searcher, needs_library
from .statistics import checkpoints, mean_curve, summarize
from .suite import suite_of
from .suite_comparison import search_suite, suite_figures, suite_markdown
from .table import Table, load_table

TABLE_SEEDS, SUITE_SEEDS = 20, 5
DEFAULT_SEARCHERS = ("boshnas", "gp", "forest", "tpe", "evolution", "local", "random")


@options
class BenchmarkOptions(CommandOptions):
    """Compare searchers on a table of trained architectures, or on a suite of tasks."""

    prog: ClassVar[str] = "python -m search.benchmark"
    table: Place | None = None
    """JSON list of {"model_dict": {...}, "scores": {NAME: number}}; null or nan: the training failed."""
    suite: Switch = False
    """All tasks of the protocol by which defaults are chosen: each metric of --table, if there is one, whole and a
    random half of it, and objectives that are made, over 1e3 to 1e22 architectures. The result is Markdown."""
    metric: str = "glue"
    """Which of the table's scores is searched for."""
    minimize: Switch = False
    """Lower scores are better."""
    objectives: tuple[str, ...] = (SCORE,)
    """What is searched for: 'score' (the metric), and others that should be low: parameters and flops, computed, or
    scores of the table; with these, hypervolumes are compared."""
    searchers: tuple[str, ...] = ()
    """Searchers to compare, among boshnas, boshnas-SURROGATE, gp, forest, tpe, optuna_gp, evolution, local and
    random; when not given, boshnas and all of these but optuna_gp. Settings follow a colon:
    boshnas:confidence=1,second_order=true."""
    surrogate_quality: tuple[Annotated[str, OneOf(SURROGATES)], ...] | None = None
    """Instead of searches: how well surrogates predict; all when none is named."""
    observed: tuple[Count, ...] = (20, 50, 100)
    """Numbers of observations for --surrogate_quality."""
    queries: Count = 60
    """Architectures trained per search."""
    seeds: Count | None = None
    """Searches per searcher; 20, with --suite 5 on each task."""
    seed: Whole = 0
    """The first seed."""
    n_jobs: Count = 2
    """Processes side by side."""
    out: Place | None = None
    """JSON file for all figures. With --suite it grows task by task, and what controls found before, on the same tasks,
    is read from it."""
    plot: Place | None = None
    """SVG file for the curves of mean regret."""

    @property
    def seed_range(self) -> range:
        """The seeds."""
        return range(self.seed, self.seed + (self.seeds or (SUITE_SEEDS if self.suite else TABLE_SEEDS)))


def benchmark(arguments: Sequence[str] | None = None) -> None:
    """Read the options, replay, print and write."""
    options = read_options(BenchmarkOptions, arguments)
    costs = Goals(objectives=options.objectives).costs
    usual = [name for name in DEFAULT_SEARCHERS if not (costs and name in ONE_OBJECTIVE)]
    names = list(dict.fromkeys(options.searchers or usual))
    for name in names:
        check_searcher(name, num_objectives=1 + len(costs))
    for path in (options.out, options.plot):
        if path is not None and path.is_dir():
            raise ValueError(f"{path} is a folder; a file name is needed")
    if options.suite:
        _compare_on_suite(options, names)
        return
    if options.table is None:
        raise ValueError("'--table' or '--suite' must say what searchers are compared on")
    table = load_table(options.table, options.metric, minimize=options.minimize, costs=costs)
    console = Console()
    if options.surrogate_quality is not None:
        _compare_surrogates(options, table, console)
        return
    if options.queries > len(table):
        raise ValueError(f"'--queries' must be at most the {len(table)} architectures. Got {options.queries}")
    figures, curves = compare(
        table,
        names,
        num_queries=options.queries,
        seeds=options.seed_range,
        n_jobs=options.n_jobs,
        console=console,
    )
    console.print(_shown(figures, table, options.queries))
    if options.out is not None:
        write_atomically(options.out, json.dumps(figures, indent=2) + "\n")
    if options.plot is not None:
        what = (
            f"hypervolume missing in {', '.join(options.objectives)}" if costs else f"mean regret in {options.metric}"
        )
        title = f"{options.table.stem}: {what}, {len(options.seed_range)} seeds"
        write_atomically(options.plot, draw_curves(curves, title=title))


def _compare_on_suite(options: BenchmarkOptions, names: Sequence[str]) -> None:
    """Search all tasks, and print Markdown. What concerns one table alone is refused."""
    of_one_table = ("metric", "minimize", "objectives", "surrogate_quality", "queries", "plot")
    usual = BenchmarkOptions()
    if wrong := [f"--{name}" for name in of_one_table if getattr(options, name) != getattr(usual, name)]:
        raise ValueError(f"'--suite' has tasks of its own. Leave out {', '.join(wrong)}")
    console = Console(stderr=True)
    with ProgressBar(console=console, transient=True) as bar:
        searching = bar.add_task("searches", total=None)
        results, taken = search_suite(
            suite_of(options.table),
            names,
            seeds=options.seed_range,
            n_jobs=options.n_jobs,
            out=options.out,
            progress=lambda done, total: bar.update(searching, completed=done, total=total),
        )
    if taken:
        console.print(f"{taken} searches of controls were read from {options.out}.")
    if options.out is not None:
        figures = {"tasks": results, "searchers": suite_figures(results, names, options.seed_range)}
        write_atomically(options.out, json.dumps(figures) + "\n")
    sys.stdout.write(suite_markdown(results, names, options.seed_range) + "\n")


def _compare_surrogates(options: BenchmarkOptions, table: Table, console: Console) -> None:
    """Measure, print and write how well surrogates predict."""
    names = list(dict.fromkeys(options.surrogate_quality or ())) or list(SURROGATES)
    check_observed(options.observed, table)
    with ProgressBar(console=console, transient=True) as bar:
        measuring = bar.add_task("surrogates", total=None)
        figures = surrogate_quality(
            table,
            library_of(table.specs, n_jobs=options.n_jobs),
            names,
            counts=options.observed,
            seeds=options.seed_range,
            progress=lambda done, total: bar.update(measuring, completed=done, total=total),
        )
    console.print(quality_table(figures))
    if options.out is not None:
        write_atomically(options.out, json.dumps(figures, indent=2) + "\n")


def compare(
    table: Table, names: Sequence[str], *, num_queries: int, seeds: Sequence[int], n_jobs: int, console: Console
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures that ``--out`` writes, and the mean curve (Q,) of each searcher."""
    with ProgressBar(console=console, transient=True) as bar:
        pool = Pool(table.specs, costs=tuple(table.costs))
        if any(needs_library(name) for name in names):
            measuring = bar.add_task("distances", total=None)
            pool.library = library_of(
                table.specs,
                n_jobs=n_jobs,
                progress=lambda stage, done, total: bar.update(
                    measuring, description=stage, completed=done, total=total
                ),
            )
        searching = bar.add_task("searches", total=len(names) * len(seeds))
        replays = replay_all(
            names,
            table,
            pool,
            num_queries=num_queries,
            seeds=seeds,
            n_jobs=n_jobs,
            progress=lambda done, total: bar.update(searching, completed=done, total=total),
        )
    figures = {
        "metric": table.metric,
        "optimum": table.optimum,
        **({"objectives": [SCORE, *table.costs]} if table.costs else {}),
        "searchers": {name: summarize(replays[name]) for name in names},
    }
    return figures, {name: mean_curve(replays[name]) for name in names}


def _shown(figures: dict[str, Any], table: Table, num_queries: int) -> TextTable:
    kind = "hypervolume" if table.costs else "regret"
    title = f"Mean regret in {table.metric} (best: {table.optimum:.6g})"
    if table.costs:
        title = f"Mean share of the table's hypervolume ({table.metric}, {', '.join(table.costs)})"
    shown = TextTable(box=None, title=f"{title}, 95 % intervals")
    shown.add_column("searcher", no_wrap=True)
    for count in checkpoints(num_queries):
        shown.add_column(f"@{count}", justify="right")
    shown.add_column("found best", justify="right")
    shown.add_column("s / suggestion", justify="right")
    for name, of in figures["searchers"].items():
        cells = [f"{r['mean']:.3g}\n[{r['low']:.2g}, {r['high']:.2g}]" for r in of[kind].values()]
        shown.add_row(name, *cells, f"{of['found_best']:.0%}", f"{of['seconds_per_suggestion']:.3f}")
    return shown


def main() -> None:
    """Entry point."""
    run_command(benchmark)


if __name__ == "__main__":
    main()
