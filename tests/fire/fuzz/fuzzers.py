"""What a fuzzer of bytes is: a rule, a strategy for inputs, and what holds for each of them.

An input is tried as it was drawn, and then with bytes of it lost, changed, doubled and put in: what
is nearly right goes further than what is not. How it is changed is drawn with it, so that an input
that fails, fails again.

An input is counted once, however often it is tried; so is each way of cutting it, where a fuzzer
tries it whole and cut.
"""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.fire.fuzz.hub import watched

CORPUS = Path(__file__).parent / "corpus"
_MEMORY = Path("/dev/shm")
MEMORY = _MEMORY if _MEMORY.is_dir() else None  # files cost little there: no disk is looked at here
VARIANTS = 24  # of each input: what is drawn costs a millisecond, a variant nothing
_SEGMENT_BYTES_MAX = 200

Check = Callable[[bytes, Sequence[int]], None]  # of an input, and where it is cut

SALT = st.integers(0, 1 << 32)  # by which the variants of an input differ from another's
CUTS = st.lists(st.integers(1, _SEGMENT_BYTES_MAX), max_size=5)

_tried: set[int] = set()


def count_input(*parts: bytes) -> bytes:
    """Count an input that may have been tried before; return what tells it from others."""
    digest = blake2b(b"\0".join(parts), digest_size=8).digest()
    _tried.add(int.from_bytes(digest))
    return digest


def take_inputs() -> array[int]:
    """Return what tells the inputs apart that were tried since the last time, each once."""
    taken = array("Q", _tried)
    _tried.clear()
    return taken


@dataclass(frozen=True)
class Fuzzer:
    """A fuzzer of bytes: `check` raises when what its docstring says does not hold."""

    check: Check
    name: str
    drawn: st.SearchStrategy[bytes]
    junk: Sequence[bytes] = ()  # what is put in
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    variants: int = VARIANTS
    is_cut: bool = False  # `check` tries each input whole, too

    @property
    def rule(self) -> str:
        """What holds for each input."""
        return inspect.getdoc(self.check) or ""

    def try_all(self, data: bytes, cuts: Sequence[int], salt: int) -> None:
        """Try an input, and its variants. Raises AssertionError, which has what failed."""
        self.try_one(data, cuts)
        random = Random(b"%d %b" % (salt, data))
        for _ in range(self.variants):
            self.try_one(vary(data, random, self.junk), cuts)

    def try_one(self, data: bytes, cuts: Sequence[int]) -> None:
        """Try one input."""
        count_input(self.name.encode(), data)
        places = sorted({cut for cut in cuts if cut < len(data)})
        if self.is_cut and places:
            count_input(self.name.encode(), data, repr(places).encode())
        try:
            with watched():
                self.check(data, cuts)
        except Exception as error:
            raise AssertionError(f"{self.name}: {data!r} cut at {cuts}: {error!r}") from error

    def corpus(self) -> list[bytes]:
        """Return the inputs that are kept."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))]


def fuzzer(*how: Any, **more: Any) -> Callable[[Check], Fuzzer]:
    """Make a fuzzer of a check; for what it takes, see Fuzzer."""
    return lambda check: Fuzzer(check, *how, **more)


def vary(data: bytes, random: Random, junk: Sequence[bytes]) -> bytes:
    """Return data with a few changes."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        place = random.randint(0, len(changed))
        length = random.choice([0, 1, 1, 2, 4, 16])
        match random.randint(0, 4):
            case 0:
                del changed[place : place + length]
            case 1 if place < len(changed):
                changed[place] ^= 1 << random.randint(0, 7)
            case 2:
                changed[place:place] = changed[place : place + length] * random.randint(1, 3)
            case 3 if junk:
                changed[place : place + random.choice([0, length])] = random.choice(junk)
            case _:
                changed[place : place + length] = random.randbytes(length)
    return bytes(changed)
