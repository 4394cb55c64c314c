"""The command line of the bench: what may be asked, and how it is read."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from against import KINDS
from catalogue import ALL, USUAL
from peers import PEERS
from process import REPOSITORY

PEER_NAMES = tuple(peer.name for peer in PEERS)
LAST = REPOSITORY / "bench" / "last-run.json"
PAIRS = 6  # with --against: fewer can't tell what moved from chance
PAIRS_QUICK = 2


def parse(words: Sequence[str], description: str) -> argparse.Namespace:
    """Return the options, checked."""
    parser = argparse.ArgumentParser(
        prog="python bench",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--only",
        nargs="+",
        choices=ALL,
        metavar="SCENE",
        help=f"of {', '.join(ALL)}; not played unless asked for: {', '.join(ALL[len(USUAL) :])}",
    )
    add("--quick", action="store_true", help="small scenes: under two minutes")
    add(
        "--peers",
        type=partial(chosen, known=PEER_NAMES),
        default=PEER_NAMES,
        help=f"all, none, or some of {','.join(PEER_NAMES)} (the relay is the generator's ceiling)",
    )
    add("--rounds", type=count, help=f"medians of so many; with --against pairs, {PAIRS} if unsaid")
    add("--durability", choices=("full", "normal"), default="full", help="Greenroom's setting")
    add("--against", metavar="REV", help=f"a revision, or one of {', '.join(KINDS)}")
    add("--json", type=Path, default=LAST, help="where to write all figures of all rounds")
    add("--publish", action="store_true", help="write docs/performance.md, .svg and .json")
    add("--stored", type=Path, metavar="FILE", help="show what --json wrote; measure nothing")
    return parser.parse_args(words)


def chosen(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Read `all`, `none` or names with commas between them; names come out in `known`'s order."""
    names = {"all": set(known), "none": set()}.get(text, set(text.split(",")))
    if unknown := names - set(known):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
    return tuple(name for name in known if name in names)


def count(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: not a number above 0")
    return int(text)
