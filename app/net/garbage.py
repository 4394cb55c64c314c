"""Keeps collections of garbage short.

A full collection looks at every object, and no client is served during it. It takes some 0.6 us an
object, which is half a second with 10,000 sessions. It finds next to nothing: sessions and rooms
are in no cycle, so they are freed at once. Objects that a long collection has looked at are frozen,
so no other collection looks at them again. Each looks only at the objects that came since.
"""

import gc
import time
from collections.abc import Callable, Mapping
from math import inf

from app.bounds import COLLECTION_SECONDS_MAX

_FULL = 2  # a collection of all generations


def keep_collections_short(seconds_max: float = COLLECTION_SECONDS_MAX) -> Callable[[], None]:
    """Freeze all objects now, and again after each full collection that takes so long.

    Returns a function that ends this.
    """
    began_at = inf  # none is running

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
