"""Files are read with limits of time and memory, and whatever that ends in is an answer."""

import os
import time
from functools import partial

import pytest

from search.serve import reading
from search.serve.reading import BusyError, Reading, problems_of


def _refuse(text):
    raise ValueError(text)


def test_what_can_be_read_has_no_problem():
    assert problems_of([Reading("table", partial(len, "abc")), Reading("corpus", partial(len, "d"))], 100) == []


def test_all_problems_are_told_by_field():
    problems = problems_of(
        [
            Reading("library", partial(_refuse, "no library")),
            Reading("table", partial(len, "abc")),
            Reading("corpus", partial(len, 3)),
        ],
        100,
    )
    assert problems == [
        "'library' cannot be used: no library",
        "'corpus' cannot be used: it is damaged (TypeError)",
    ]


def test_memory_has_a_limit_that_grows_with_the_files(monkeypatch):
    monkeypatch.setattr(reading, "BASE_BYTES", 2**28)
    read = Reading("table", partial(bytearray, 2**29))
    assert problems_of([read], 0) == ["'table' cannot be used: to read it takes more than 0.2 GiB of memory"]
    assert problems_of([read], 2**28) == []


def test_time_has_a_limit_and_the_field_that_takes_it_is_named(monkeypatch):
    monkeypatch.setattr(reading, "BASE_S", 0.5)
    problems = problems_of([Reading("library", partial(len, "a")), Reading("table", partial(time.sleep, 60))], 0)
    assert problems == ["'table' cannot be used: to read it takes more than 0 s"]


def test_a_reader_that_breaks_is_told():
    (problem,) = problems_of([Reading("library", os.abort)], 0)
    assert problem.endswith("GiB of memory, or it breaks its reader")


def test_one_submission_is_read_at_a_time(monkeypatch):
    monkeypatch.setattr(reading, "_PATIENCE_S", 0.01)
    with reading._one_at_a_time, pytest.raises(BusyError, match="Other submissions are being read"):
        problems_of([Reading("table", partial(len, "a"))], 0)
