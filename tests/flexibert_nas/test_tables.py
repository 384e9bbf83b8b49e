"""Data in memory become files beside the run."""

from pathlib import Path

import pandas as pd

from flexibert_nas.tables import as_files


def test_the_file_of_a_frame_stays_until_the_frame_changes(tmp_path: Path) -> None:
    """A run is of a file as it was: written anew, it would be another."""
    frame = pd.DataFrame({"text": ["a fine film", "ein schöner Film"], "label": ["good", "good"]})
    file = Path(as_files(frame, tmp_path / "run")["task"])
    assert file.read_text(encoding="utf-8").splitlines()[1] == '{"text":"ein schöner Film","label":"good"}'
    before = file.stat().st_mtime_ns, file.stat().st_ino
    assert as_files(frame, tmp_path / "run") == {"task": str(file)}
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before
    frame.loc[0, "label"] = "bad"
    as_files(frame, tmp_path / "run")
    assert "bad" in file.read_text(encoding="utf-8")
