"""The hierarchy in one run: search a level, span the next, finer one by its best, search that, and so on.

Each level has a run directory of its own, ``level-1``, ``level-2``, ..., in that of the whole run; data and models
are shared, so that what was trained on one level is a parent on the next. Steps that are done are not repeated.
"""

import dataclasses
import shlex
from pathlib import Path

from rich.console import Console

from dataset import PreparedData
from design_space.options import as_flags, as_values
from embeddings import GraphLibrary
from embeddings.generate_library import LibraryOptions
from embeddings.library import default_embedding_size
from embeddings.library_file import scored_as

from ..hierarchical import HierarchicalOptions, write_next_library
from ..records.run_directory import RunDirectory
from .level import prepared, saved, search
from .options import SearchOptions
from .provenance import measured_on
from .summary import keep_best, write_summary


def search_levels(options: SearchOptions, console: Console, *, max_graphs: int | None = None) -> str:
    """Search all of ``options.levels``; returns the summary over all of them.

    Args:
        max_graphs: of the later levels' libraries; None for the default of ``hierarchical``.

    Raises:
        ValueError: for levels that do not begin with the library's, or a run directory that holds another run.
    """
    layers_per_stack = options.layers_per_stack
    directory = RunDirectory(options.run_dir)
    library = GraphLibrary.load(options.library_file)
    if library.layers_per_stack != layers_per_stack[0]:
        raise ValueError(
            f"'levels' must begin with the layers per stack of the library, {library.layers_per_stack}. "
            f"Got {options.levels}"
        )
    levels = [RunDirectory(directory.path / f"level-{i}") for i in range(1, len(layers_per_stack) + 1)]
    with directory.locked():
        if not options.resume:
            levels[0].check(library.fingerprint, resume=False)
        directory.check(library.fingerprint, resume=options.resume)
        directory.keep(saved(options), library.fingerprint)
        data_dir = options.prepared_dir or directory.data_dir
        models_dir = options.models_dir or directory.models_dir
        is_new = options.prepared_dir is None and not any(level.has_begun() for level in levels)
        if is_new and not options.roots.start_from:  # an encoder's tokenizer is read by the first level
            prepared(options.data, data_dir, console, is_disposable=True)
        path = options.library_file
        for i, level in enumerate(levels):
            console.rule(f"level {i + 1} of {len(levels)}: layers per stack {layers_per_stack[i]}")
            if i > 0:
                finer = directory.path / f"library-{i + 1}{path.suffix}"
                if not finer.exists():
                    between = _between(path, finer, layers_per_stack[i - 1 : i + 1], data_dir, options, max_graphs)
                    flags = shlex.join(as_flags(as_values(between)))
                    console.print(f"$ hierarchical {flags}", highlight=False, soft_wrap=True, style="dim")
                    write_next_library(between, console)
                path = finer
            places = {"run_dir": level.path, "models_dir": models_dir, "prepared_dir": data_dir}
            search(options.of_level(i, path, **places, resume=options.resume and level.exists()), console)
        console.rule("result")
        records = [
            dataclasses.replace(record, trial=f"L{number}-{record.trial}")
            for number, level in enumerate(levels, start=1)
            for record in level.journal.trials().values()
        ]
        goals = options.wanted.goals()
        evaluation = keep_best(directory, models_dir, records, PreparedData.load(data_dir), goals)
        summary = write_summary(directory, records, evaluation, goals)
    console.print(summary, highlight=False, soft_wrap=True, markup=False)
    return summary


def _between(
    old: Path,
    new: Path,
    layers_per_stack: tuple[int, ...],
    data_dir: Path,
    options: SearchOptions,
    max_graphs: int | None,
) -> HierarchicalOptions:
    """How the library is made that lies between the best of the old one."""
    library, data = GraphLibrary.load(old), PreparedData.load(data_dir)
    size = library.embeddings.shape[1]
    return HierarchicalOptions(
        plugin=options.plugin,
        old_dataset_file=old,
        new_dataset_file=new,
        old_layers_per_stack=layers_per_stack[0],
        new_layers_per_stack=layers_per_stack[1],
        task=scored_as(library.performances, library.measured_on, data.name, measured_on(data)),
        build=LibraryOptions(
            kernel=library.kernel,
            algo=library.algo,
            embedding_size=None if size == default_embedding_size(len(library)) else size,
            heterogeneous_feed_forward=library.heterogeneous_feed_forward,
            max_graphs=max_graphs,
            seed=options.data.seed,
        ),
    )
