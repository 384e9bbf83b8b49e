"""Which trained weights stay on disk: those of the best models, and of parents that a trial still needs."""

import shutil
from pathlib import Path

from .boshnas import BOSHNAS
from .storage import Storage, model_name


class ModelKeeper:
    """Removes the weights of all but the best models of a search; what is removed is no parent any more.

    Args:
        number: how many of the best stay.
        storage: where they lie too.
    """

    def __init__(self, boshnas: BOSHNAS, models_dir: Path, number: int, storage: Storage | None = None) -> None:
        self._boshnas, self._models_dir, self._number, self._storage = boshnas, models_dir, number, storage

    def clean(self) -> None:
        """Remove what is not needed now."""
        trained = self._boshnas.trained
        kept = {*trained[: self._number], *self._boshnas.parents_in_use}
        for graph_hash in trained:
            if graph_hash not in kept:
                self._boshnas.forget_weights(graph_hash)
                shutil.rmtree(self._models_dir / graph_hash, ignore_errors=True)
                if self._storage is not None:
                    self._storage.remove(model_name(graph_hash))
