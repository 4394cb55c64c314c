"""Shifts time.monotonic in each Python process that finds this: see --monotonic-from."""

import os
import time

_from_the_start = time.monotonic
_shift_seconds = float(os.environ["TESTS_MONOTONIC_SHIFT"])


def _shifted() -> float:
    return _from_the_start() + _shift_seconds


time.monotonic = _shifted
