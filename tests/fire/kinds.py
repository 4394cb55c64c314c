"""What a kind of fire is, and what all kinds have in common: options, a seed, a verdict."""

import argparse
import inspect
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.kit.findings import describe

SEEDS = 1_000_000
FINDINGS_SHOWN = 5  # of one thing that is tried: the others are mostly the same


class CannotRun(Exception):
    """The machine lacks what a kind needs, so nothing was tried; `str(error)` says what."""


@dataclass(frozen=True)
class Kind:
    """A kind of fire. `run` tries what was asked for, and returns whether all of it held."""

    run: Callable[[Namespace], bool]
    names: Sequence[str] = ()  # of the things that can be tried alone
    options: Mapping[str, tuple[float, str]] = field(default_factory=dict)  # the default, and help
    has_seed: bool = True  # and tries something else with another one

    def main(self, called: str, arguments: Sequence[str]) -> None:
        """Run it as the command line asks. Raises SystemExit: 0 when all held, 2 when not tried."""
        parser = self._parser(called)
        given = parser.parse_intermixed_args(arguments)
        words = [*given.words, *given.only]
        given.names = chosen(self.names, words)
        if words and not given.names:
            parser.error(f"nothing here is called {' or '.join(words)}")
        seed = f"seed {given.seed}" if self.has_seed else "the same each time"
        print(seed, flush=True)
        began = time.monotonic()
        try:
            is_held = self.run(given)
        except CannotRun as error:
            parser.exit(2, f"{error}\n")
        seconds = time.monotonic() - began
        print(f"{'all held' if is_held else 'NOT ALL HELD'}; {seed}, {seconds:.0f} s")
        sys.exit(not is_held)

    def _parser(self, called: str) -> argparse.ArgumentParser:
        about = inspect.getdoc(inspect.getmodule(self.run))
        plain = argparse.RawDescriptionHelpFormatter
        parser = argparse.ArgumentParser(called, description=about, formatter_class=plain)
        only = "try what is called so, or else what has this word in its name; may be repeated"
        parser.add_argument("words", nargs="*", help="the same as --only")
        parser.add_argument("--only", "--stage", "--scene", action="append", default=[], help=only)
        seed = secrets.randbelow(SEEDS)
        parser.add_argument("--seed", type=int, default=seed, help="of a run that is repeated")
        for name, (default, what) in self.options.items():
            told = f"{what} ({default:g})"
            parser.add_argument(f"--{name}", type=type(default), default=default, help=told)
        return parser


def chosen(names: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return the names that are meant by words; without words, all."""
    return [
        name
        for name in names
        if not words or any(word == name or (word not in names and word in name) for word in words)
    ]


def hold(names: Iterable[str], try_one: Callable[[str], Sequence[str]]) -> bool:
    """Try each, and tell how it went: a line, and below it what did not hold."""
    is_held = True
    for name in names:
        began = time.monotonic()
        try:
            wrong = try_one(name)
        except Exception as error:  # noqa: BLE001 (whatever it is, it did not hold)
            wrong = [describe(error)]
        verdict = "DID NOT HOLD" if wrong else "held"
        print(f"{name:<28}{time.monotonic() - began:>8.1f} s  {verdict}", flush=True)
        for each in wrong[:FINDINGS_SHOWN]:
            print(f"        {each}", flush=True)
        is_held = is_held and not wrong
    return is_held
