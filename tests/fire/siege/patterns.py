"""What means something to searches and databases is a word like any other (CVE-2024-31228)."""

from dataclasses import fields
from functools import partial
from typing import get_type_hints

from app.protocol import COMMANDS
from app.protocol.command import Addressee, Command, Count, Level, Path, Rest, Shape, Span, Word
from tests.fire.siege.defenders import stopwatch
from tests.fire.siege.siege import Scene, Siege
from tests.kit.client import Client

ANSWERED_SECONDS_MAX = 0.05
LINE_BYTES_MAX = 16_384  # so that the longest of them gets through
PATTERNS = ["' OR 1=1--", "%", "NEAR(", "(" * 10_000, "*a*a*b", "*" + "a*" * 1_000 + "b"]
ROOM = "pub"
COUNTED = ("users", "rooms")
_NOT_ASKED = ("quit", "shutdown", "passwd")  # the end; two hashes, of 20 ms each


def say_patterns(siege: Siege) -> None:
    """Put each wherever a command takes a word, as an admin, and say each in a room."""
    server = siege.server
    admin = server.connect().register("anna", "a password")
    _make_admin(siege)
    admin.join(ROOM)
    reader = server.connect().register("bert", "a password").join(ROOM)
    admin.expect_line("bert has joined the room.")
    before = _counts(siege)
    taking = [kind for kind in COMMANDS.values() if _takes_words(kind)]
    asked = [_typed(kind, pattern) for kind in taking for pattern in PATTERNS]
    siege.random.shuffle(asked)
    with stopwatch(siege) as seconds_of:
        took = {typed: seconds_of(partial(_ask, admin, typed)) for typed in asked}
    slowest = max(took, key=took.__getitem__)
    what = f"the slowest of {len(asked)} answers, of {len(taking)} commands: {slowest[:24]}"
    siege.findings.at_most(what, took[slowest], ANSWERED_SECONDS_MAX, "s")
    siege.findings.equal("accounts and rooms after it", _counts(siege), before)
    reader.catch_up()
    admin.catch_up()
    literal = 0
    for pattern in PATTERNS:
        admin.type(pattern)
        literal += reader.expect_line() == f"anna: {pattern}"
    siege.findings.equal("patterns that are shown as they were said", literal, len(PATTERNS))


def _make_admin(siege: Siege) -> None:
    operator = siege.server.control()
    operator.call("user.admin", user="anna", is_admin=True)


def _counts(siege: Siege) -> list[int]:
    with siege.server.database() as database:
        return [
            database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in COUNTED
        ]


def _shapes(kind: type[Command]) -> list[type[Shape]]:
    hints = get_type_hints(kind, include_extras=True)
    metadata = (getattr(hints[field.name], "__metadata__", ()) for field in fields(kind))
    return [type(each) for parts in metadata for each in parts if isinstance(each, Shape)]


def _takes_words(kind: type[Command]) -> bool:
    is_ours = kind.is_typed and kind.least <= Level.ADMIN and kind.word not in _NOT_ASKED
    return is_ours and bool({Word, Path, Addressee, Rest} & set(_shapes(kind)))


def _typed(kind: type[Command], pattern: str) -> str:
    """Return a command as it might be typed, with the pattern wherever there may be a word.

    Behind /upload come lines of a file, until one has a dot alone.
    """
    samples = {Word: pattern, Rest: "text", Count: "5", Span: "30m"}
    samples |= {Path: pattern, Addressee: f"to {pattern}"}
    words = [f"/{kind.word}", *(samples[shape] for shape in _shapes(kind))]
    return " ".join(words) + ("\n." if kind.word == "upload" else "")


def _ask(client: Client, typed: str) -> None:
    """Type it, and wait until it was answered."""
    client.type(typed, "/ping")
    client.expect("Pong.\r\n")


SCENE = Scene(
    "patterns",
    f"{len(PATTERNS)} patterns, wherever a command takes a word",
    say_patterns,
    settings={"LINE_BYTES_MAX": LINE_BYTES_MAX, "MESSAGE_RATE": "0"},
)
