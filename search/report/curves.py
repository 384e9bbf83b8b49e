"""What trials said while they were trained, as the journal's ``reported`` events tell it: one list of points a trial,
of its last start.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from .figures import Curve


def scores_over_seconds(events: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    """Scores on validation, by the seconds since a trial was started."""
    return _curves(events, "validation_score", lambda event, begun: event["time"] - begun)


def losses_over_progress(events: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    """The training loss of fine-tuning, by how much of it is done, in percent."""
    of_phase = (event for event in events if event["event"] != "reported" or event.get("phase") == "fine-tune")
    return _curves(of_phase, "loss", lambda event, _: 100 * event.get("progress", 0.0))


def _curves(events: Iterable[Mapping[str, Any]], name: str, place: Any) -> dict[str, Curve]:
    begun: dict[str, float] = {}
    curves: dict[str, Curve] = {}
    for event in events:
        trial = event["trial"]
        if event["event"] == "started":
            begun[trial], curves[trial] = event["time"], ([], [])
        elif event["event"] == "reported" and name in event and trial in begun:
            curves[trial][0].append(place(event, begun[trial]))
            curves[trial][1].append(event[name])
    return curves
