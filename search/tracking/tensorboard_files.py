"""TensorBoard: a folder for each trial below one of the search. The first process that tells of a trial writes its
files anew, from the journal, so that nothing stands there twice."""

import html
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from .stories import RunStory, TrialStory
from .tracker import Tracker

_FILES = "events.out.tfevents.*"


class TensorboardFiles(Tracker):
    """Below a folder, as ``tensorboard --logdir`` takes it."""

    def __init__(self, place: str, run: RunStory) -> None:
        self._folder, self._run = Path(place) / f"{run.name.replace('/', '-')}-{run.key[:8]}", run
        self._writers: dict[str, SummaryWriter] = {}
        self._num_told: dict[str, int] = {}

    def tell(self, story: TrialStory) -> None:
        is_new = story.trial not in self._num_told
        writer = self._writer(story.trial, is_new)
        if is_new:
            rows = "\n".join(f"| {name} | {value} |" for name, value in {**story.parameters, **story.tags}.items())
            writer.add_text("trial", f"| | |\n|-|-|\n{rows}", walltime=story.begun)
        told = self._num_told.get(story.trial, 0)
        for point in story.points[told:]:
            for name, value in point.values.items():
                writer.add_scalar(name, value, point.step, walltime=point.time)
        self._num_told[story.trial] = len(story.points)
        if story.state == "open":
            writer.flush()
            return
        for name, value in story.figures.items():
            writer.add_scalar(f"result/{name}", value, 0, walltime=story.ended)
        if story.error:
            writer.add_text("error", f"<pre>{html.escape(story.error)}</pre>", walltime=story.ended)
        self._writers.pop(story.trial).close()

    def finish(self) -> None:
        writer = self._writer("", is_new=True)
        for name, path in self._run.artifacts.items():
            writer.add_text(name, path.read_text(encoding="utf-8") if name.endswith(".md") else str(path))
        self._writers.pop("").close()

    def close(self) -> None:
        while self._writers:
            self._writers.popitem()[1].close()

    def _writer(self, trial: str, is_new: bool) -> SummaryWriter:
        if trial not in self._writers:
            folder = self._folder / trial
            for file in folder.glob(_FILES) if is_new else ():
                file.unlink()
            self._writers[trial] = SummaryWriter(str(folder))
        return self._writers[trial]
