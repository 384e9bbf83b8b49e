"""Which trained weights stay on disk: those of the best models, and of parents that a trial still needs."""

import shutil
from pathlib import Path

from .boshnas import BOSHNAS


class ModelKeeper:
    """Removes the weights of all but the best models of a search; what is removed is no parent any more.

    Args:
        number: how many of the best stay.
    """

    def __init__(self, boshnas: BOSHNAS, models_dir: Path, number: int) -> None:
        self._boshnas, self._models_dir, self._number = boshnas, models_dir, number

    def clean(self) -> None:
        """Remove what is not needed now."""
        trained = self._boshnas.trained
        kept = {*trained[: self._number], *self._boshnas.parents_in_use}
        for graph_hash in trained:
            if graph_hash not in kept:
                self._boshnas.forget_weights(graph_hash)
                shutil.rmtree(self._models_dir / graph_hash, ignore_errors=True)
