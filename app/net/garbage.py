"""The garbage collector, told that what has lasted will last.

A full collection looks at every object there is, and nobody is served meanwhile: some 0.6 us an
object, which is half a second with 10,000 sessions. It finds next to nothing, for what a session or
a room leaves behind is in no cycle, and goes at once. So whatever a long collection has looked at,
no other looks at again: each takes about as long as what came since.
"""

import gc
import time
from collections.abc import Callable, Mapping
from math import inf

from app.bounds import COLLECTION_SECONDS_MAX

_FULL = 2  # a collection of all generations


def keep_collections_short(seconds_max: float = COLLECTION_SECONDS_MAX) -> Callable[[], None]:
    """Set aside what is here, and what full collections over so many seconds will have looked at.

    Returns what ends this.
    """
    began_at = inf  # there is none

    def watch(phase: str, info: Mapping[str, int]) -> None:
        nonlocal began_at
        if info["generation"] == _FULL and phase == "start":
            began_at = time.perf_counter()
        elif info["generation"] == _FULL and time.perf_counter() - began_at > seconds_max:
            gc.freeze()

    gc.collect()
    gc.freeze()
    gc.callbacks.append(watch)
    return lambda: gc.callbacks.remove(watch)
