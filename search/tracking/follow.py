"""A journal followed while its run goes on, or read once it has ended, and told to trackers.

A tracker that fails is told of and left; the search goes on. It can be told all later, by ``python -m search.track``.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from ..records.run_directory import RunDirectory
from .destinations import check_packages, tracker
from .stories import TrialStory, note, run_story
from .tracker import Tracker

_EVERY_S = 5.0


@contextlib.contextmanager
def followed(directory: RunDirectory, destinations: Sequence[str], console: Console) -> Iterator[None]:
    """For the time of the block, what is written to the journal of a run is told to trackers; where the block ends
    well, the report and the best model too.

    Raises:
        ValueError: where a tracker's package is not installed.
    """
    check_packages(tuple(destinations))
    followers = [_Follower(directory, text) for text in destinations]
    over = threading.Event()

    def follow() -> None:
        while not over.wait(_EVERY_S):
            _each(followers, console, is_over=False)

    thread = threading.Thread(target=follow, name="trackers", daemon=True)
    if followers:
        thread.start()
    is_well = False
    try:
        yield
        is_well = True
    finally:
        over.set()
        if followers:
            thread.join()
            _each(followers, console, is_over=is_well)
            for follower in followers:
                follower.close()


def tell_all(directory: RunDirectory, destinations: Sequence[str]) -> int:
    """Tell trackers of a run that is there; returns how many trials it has. What was told before is not told twice.

    Raises:
        ValueError: where a tracker's package is not installed, or a line of the journal is damaged.
    """
    check_packages(tuple(destinations))
    num_trials = 0
    for text in destinations:
        follower = _Follower(directory, text)
        try:
            follower.tell()
            if directory.best_dir.exists():
                follower.finish()
            follower.close()
        except ValueError:
            raise
        except Exception as error:  # of whatever kind that library's are
            raise ValueError(f"{text} could not be told: {type(error).__name__}: {error}") from error
        num_trials = len(follower.stories)
    return num_trials


class _Follower:
    """One destination, and how far the journal was told to it."""

    def __init__(self, directory: RunDirectory, destination: str) -> None:
        self.destination, self.stories = destination, dict[str, TrialStory]()
        self.directory, self._read, self._lines = directory, 0, 0
        self._tracker: Tracker | None = None

    def tell(self) -> None:
        """Tell what is new in the journal."""
        whole = _whole_lines(self.directory.journal.path, self._read)
        if not whole:
            return
        if self._tracker is None:
            self._tracker = tracker(self.destination, run_story(self.directory, whole.partition(b"\n")[0]))
        events = list(self.directory.journal.events_of(whole, self._lines + 1))
        self._read, self._lines = self._read + len(whole), self._lines + len(events)
        changed = note(self.stories, events)
        for trial, story in self.stories.items():
            if trial in changed:
                self._tracker.tell(story)

    def finish(self) -> None:
        if self._tracker is not None:
            self._tracker.finish()

    def close(self) -> None:
        if self._tracker is not None:
            self._tracker.close()


def _whole_lines(path: Path, start: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as stream:
        stream.seek(start)
        whole, end, _ = stream.read().rpartition(b"\n")
    return whole + end


def _each(followers: list[_Follower], console: Console, *, is_over: bool) -> None:
    """Let each tell what is new; one that cannot is left out from then on."""
    for follower in list(followers):
        try:
            follower.tell()
            if is_over:
                follower.finish()
        except Exception as error:  # of whatever kind that library's are: a search does not end with its tracker
            followers.remove(follower)
            console.print(
                f"{follower.destination} could not be told: {type(error).__name__}: {error}. The search goes on. "
                f"Later: python -m search.track {follower.directory.path} --track {follower.destination}",
                highlight=False,
                soft_wrap=True,
                markup=False,
            )
