"""The trained weights that stay on disk: those of the best models of this run, of parents that a trial still needs, and
all that other runs trained.

Of a model that is removed its candidate stays, in ``.removed/<hash>/``: a later level knows by it what was trained.
"""

import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from design_space.files import write_atomically

from ..candidate import RESULT_FILE, Candidate, trained_candidate
from ..optimizer.boshnas import BOSHNAS
from ..records.journal import TrialRecord, front_records, note_event, ranked_records
from .storage import Storage, model_name

_REMOVED = ".removed"


class ModelKeeper:
    """Removes the weights of all but the best models of a run; what is removed is no parent any more.

    Args:
        number: how many of the best stay: the best one, then the front where there are several objectives.
        storage: another place where they lie.
    """

    def __init__(self, boshnas: BOSHNAS, models_dir: Path, number: int, storage: Storage | None = None) -> None:
        self._boshnas, self._models_dir, self._number, self._storage = boshnas, models_dir, number, storage
        self._records: dict[str, TrialRecord] = {}
        self._since: dict[str, float] = {}

    def note(self, event: Mapping[str, Any]) -> None:
        """Takes in an event of the run: its models are those of its trials, trained after they were suggested. One
        without a time happens now, and what is trained by then is another run's."""
        note_event(self._records, event)
        if event["event"] == "suggested":
            graph_hash = self._records[event["trial"]].candidate.spec.hash
            is_there = "time" not in event and self._file(graph_hash).exists()
            self._since[graph_hash] = math.inf if is_there else event.get("time", time.time())

    def clean(self) -> None:
        """Removes what is not needed now, and what a run that was killed while it did so has left."""
        for partial in self._models_dir.glob(".*.removed"):
            if partial.name.split(".")[1] in self._since:
                shutil.rmtree(partial, ignore_errors=True)
        records, goals = list(self._records.values()), self._boshnas.goals
        ranked = ranked_records(records, goals)
        in_order = dict.fromkeys(
            record.candidate.spec.hash for record in [*ranked[:1], *front_records(records, goals), *ranked]
        )
        kept = {*list(in_order)[: self._number], *self._boshnas.parents_in_use}
        for graph_hash in in_order:
            if graph_hash not in kept and self._is_of_this_run(graph_hash):
                self._boshnas.forget_weights(graph_hash)
                self._remove(graph_hash)

    def _is_of_this_run(self, graph_hash: str) -> bool:
        file = self._file(graph_hash)
        return file.exists() and file.stat().st_mtime >= self._since[graph_hash]

    def _remove(self, graph_hash: str) -> None:
        """Writes the candidate first, then renames the folder: half a folder would be taken for a parent."""
        write_atomically(self._models_dir / _REMOVED / graph_hash / RESULT_FILE, self._file(graph_hash).read_text())
        partial = self._models_dir / f".{graph_hash}.removed"
        shutil.rmtree(partial, ignore_errors=True)
        (self._models_dir / graph_hash).rename(partial)
        shutil.rmtree(partial, ignore_errors=True)
        if self._storage is not None:
            self._storage.remove(model_name(graph_hash))

    def _file(self, graph_hash: str) -> Path:
        return self._models_dir / graph_hash / RESULT_FILE


def removed_candidate(models_dir: Path, graph_hash: str) -> Candidate | None:
    """Returns the candidate that was trained here and removed since; None where none was."""
    return trained_candidate(models_dir / _REMOVED / graph_hash)
