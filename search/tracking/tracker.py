"""What a tracker must do. Whatever it is told may be told again, by another process too, and changes nothing then."""

from abc import ABC, abstractmethod

from .stories import TrialStory


class Tracker(ABC):
    """The runs of one search at one destination."""

    @abstractmethod
    def tell(self, story: TrialStory) -> None:
        """Bring the tracker's run of a trial, one and no more, up to its story."""

    @abstractmethod
    def finish(self) -> None:
        """Keep the report, the best model and the rest of ``RunStory.artifacts``: the search has ended well."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more is told for now."""
