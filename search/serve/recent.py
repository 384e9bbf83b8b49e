"""What is costly to find out, and asked by many at once."""

import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """A value as it was at most ``age_s`` seconds ago; those who ask share a look. For several threads."""

    def __init__(self, look: Callable[[], Value], *, age_s: float) -> None:
        self._look, self._age_s = look, age_s
        self._lock, self._time = threading.Lock(), -math.inf
        self._value: Value

    def __call__(self) -> Value:
        with self._lock:
            if time.monotonic() - self._time > self._age_s:
                self._value, self._time = self._look(), time.monotonic()
            return self._value

    def forget(self) -> None:
        """Look again when it is asked for next: something is known to have changed."""
        with self._lock:
            self._time = -math.inf
