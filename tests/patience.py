"""How long tests wait for another process."""

HANG_S = 900
"""Seconds after which a process is taken for hung: far more than any needs on a loaded machine, so that no test depends
on speed."""
