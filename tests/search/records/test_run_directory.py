"""A run directory belongs to one process, and to versions that can read it."""

import subprocess
import sys

import pytest
import yaml

from search.records.run_directory import RunDirectory

HOLD = """
import sys, time
from pathlib import Path
from search.records.run_directory import RunDirectory
with RunDirectory(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_directory_in_use_is_refused_until_its_process_dies(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="Another process searches in"), RunDirectory(tmp_path).locked():
            pass
    finally:
        holder.kill()
        holder.communicate()
    with RunDirectory(tmp_path).locked():
        pass


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ValueError, match="'run_dir' must be a folder"), RunDirectory(tmp_path / "run").locked():
        pass


def test_a_run_of_a_newer_version_is_refused(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.keep({"task": "cola"}, "fingerprint")
    assert directory.saved_config() == {"task": "cola"}
    config = yaml.safe_load(directory.config_file.read_text())
    directory.config_file.write_text(yaml.safe_dump(config | {"format": 2}))
    with pytest.raises(ValueError, match="is of format 2; this version reads format 1"):
        directory.saved_config()


def test_a_run_whose_files_are_damaged_does_not_go_on(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.keep({"task": "cola"}, "fingerprint")
    directory.check("fingerprint", resume=True)
    directory.journal.path.write_text('{"event": "started", "trial": "t0001", "time": 1.0}\n')
    with pytest.raises(ValueError, match="journal.jsonl, line 1 is damaged"):
        directory.check("fingerprint", resume=True)
    directory.journal.path.unlink()
    for odd, message in (
        ({"task": "cola"}, "'library_fingerprint' is missing, which says what the run searches"),
        ({"library_fingerprint": "a", "constraints": 7}, "'constraints': input should be a valid list, got 7"),
    ):
        directory.config_file.write_text(yaml.safe_dump(odd))
        with pytest.raises(ValueError, match=f"config.yaml is damaged: {message}"):
            directory.check("a", resume=True)
