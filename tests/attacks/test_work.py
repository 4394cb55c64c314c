"""What a line costs, counted in steps of Python: it grows with the line's length, and no faster.

Each command of each wire is asked, each of its arguments in turn, with the worst that anybody
thought of; commands come from the table, so a new one is tried as well. Nothing here looks at a
clock: what is counted are lines of Python that were run, in the thread that serves everybody. What
regexes cost is seen in test_regexes.py.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from functools import partial
from pathlib import Path

import pytest
from passlib.context import CryptContext

from app.bounds import LONG_LINE_BYTES_MAX, PASSWORD_BYTES_MAX
from app.chat.accounts import passwords
from app.chat.service import Service
from app.database.database import Database
from app.engine.presence import Session
from app.errors import BadNameError, Refusal
from app.protocol import COMMANDS, accounts, rooms, server, talk
from app.protocol.command import Command, Level
from app.protocol.event import Event
from app.settings import Settings
from app.values.names import parse_name, parse_password
from app.values.times import now
from app.wires.ndjson import events as ndjson_events
from app.wires.ndjson.ndjson import NdjsonWire
from app.wires.text import events as text_events
from app.wires.text.commands import usage
from app.wires.text.text import TextWire
from tests.kit.fakes import FakeClient
from tests.wires.test_ndjson import ANY_FIELDS

STEPS_A_BYTE = 20
STEPS_BESIDES = 4_000  # of a command that is carried out, whatever its length
SIZES = (250, 4_000)  # bytes, about
UNITS = (
    *(" ", "\t", "a to ", "1", "1m", "[", '"', "\\", "@"),
    *("\u0660", "\u06f0", "\u30fb", "\u6f22", "\u1112", "\uff21"),
    *("\u0301\u0316", "\u3000", "\u202e", "\x01", "\U0001f600\u200d"),
)
TYPED = [kind for kind in COMMANDS.values() if kind.is_typed and kind.least is not Level.OPERATOR]
OPS = [kind for kind in COMMANDS.values() if kind.op]
Wire = type[TextWire | NdjsonWire]


def _texts(size: int) -> Iterator[str]:
    for unit in UNITS:
        yield unit * (size // len(unit.encode()))


def _steps(act: Callable[[], object]) -> int:
    """Return how many lines of Python something runs, in this thread."""
    count = 0

    def trace(*_: object) -> Callable:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


class _House:
    """A service, with an admin in a room, and strangers as many as are wanted."""

    def __init__(self, path: Path) -> None:
        settings = Settings(login_attempts=0, registrations_per_ip_per_hour=0)
        self.service = Service(Database(f"sqlite:///{path}", "normal"), settings, now)
        self.admin = self.stranger()
        self.service.handle(self.admin, accounts.Register("alice", "secret"))
        self.admin.user.is_admin = True

    def stranger(self) -> Session:
        return self.service.connect(FakeClient())

    def prepare(self, session: Session) -> None:
        """Bring a session back to where it was before it left, or was shown the door."""
        session.client.is_closing = False
        session.client.shown.clear()
        session.client.sent.clear()
        if session.user and not session.rooms:
            self.service.handle(session, rooms.Join("lobby"))

    def check(self, session: Session, kind: Wire, text: str) -> None:
        """Check that a line costs no more than its length allows."""
        wire, line = kind(LONG_LINE_BYTES_MAX), text.encode()
        most = STEPS_BESIDES + STEPS_A_BYTE * len(line)
        for _ in range(3):  # what is done once, or happened to be done meanwhile, is not the line's
            self.prepare(session)
            if session.user:
                wire.show(accounts.LoggedIn(session.user.name))
            parse_name.cache_clear()
            steps = _steps(lambda: self._do(session, wire, line))
            if steps <= most:
                return
        pytest.fail(f"{steps} steps for {len(line)} bytes: {line[:80]!r}")

    def _do(self, session: Session, wire: TextWire | NdjsonWire, line: bytes) -> None:
        for item in wire.feed(line + b"\n", lambda kind: self.service.check_may_ask(session, kind)):
            try:
                if isinstance(item, Command):
                    self.service.handle(session, item)
            except Refusal as refusal:
                str(refusal)


@pytest.fixture(scope="module")
def house(new_database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_House]:
    path = tmp_path_factory.mktemp("house") / "greenroom.db"
    path.write_bytes(new_database.read_bytes())
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(passwords, "_context", CryptContext(schemes=["plaintext"]))
        made = _House(path)
        yield made
        made.service.close()


def _typed_lines(kind: type[Command], size: int) -> Iterator[str]:
    places = range(len(usage(kind).split()))
    for text in _texts(size):
        for place in places:
            words = ["x"] * place + [text, "x"]
            yield f"/{kind.word} {' '.join(words)}"


def _requests(kind: type[Command], size: int) -> Iterator[str]:
    names = {field.name for field in fields(kind)} & ANY_FIELDS.keys()
    needed = {name: ANY_FIELDS[name] for name in names}
    for text in _texts(size):
        for field in fields(kind):
            is_list = isinstance(needed.get(field.name), list)
            value = [text[:60]] * (size // 60 + 1) if is_list else text
            yield json.dumps({"op": kind.op, **needed, field.name: value}, ensure_ascii=False)


# Whatever somebody types, in whatever argument of whatever command, or a program sends, in whatever
# field, before login and after it, the server does no more for it than its length allows.
@pytest.mark.parametrize(
    ("wire", "lines", "kind"),
    [
        *((TextWire, _typed_lines, kind) for kind in TYPED),
        *((NdjsonWire, _requests, kind) for kind in OPS),
    ],
    ids=lambda value: getattr(value, "word", value.__name__),
)
def test_what_is_asked(house: _House, wire: Wire, lines: Callable, kind: type[Command]) -> None:
    for size in SIZES:
        for line in lines(kind, size):
            house.check(house.admin, wire, line)
            if kind.least is Level.ANYBODY:
                house.check(house.stranger(), wire, line)


# Who may not ask costs next to nothing, however much they send.
@pytest.mark.parametrize("size", SIZES)
def test_who_may_not_ask(house: _House, size: int) -> None:
    stranger, text = house.stranger(), "\u0660" * (size // 2)
    for kind in COMMANDS.values():
        if kind in TYPED and kind.least is not Level.ANYBODY:
            house.check(stranger, TextWire, f"/{kind.word} {text}")
        if kind.op and kind.least is not Level.ANYBODY:
            house.check(stranger, NdjsonWire, json.dumps({"op": kind.op, "user": text}))


# Lines that are no command of anything cost no more: names, and what only looks like JSON.
@pytest.mark.parametrize("size", [*SIZES, 16_000])
def test_lines_that_are_none(house: _House, size: int) -> None:
    stranger = house.stranger()
    for text in _texts(size):
        house.check(stranger, TextWire, text)
        house.check(house.admin, TextWire, f"/{text}")
    begun = ("[", "[1,", "1", "-", '{"a":', '{"op":[', '"\\ud83d', '{"op":"say","body":"\\u0001')
    for unit in begun:
        house.check(stranger, NdjsonWire, unit * (size // len(unit)))
    fields = ",".join(f'"{number}":1' for number in range(size // 8))
    house.check(stranger, NdjsonWire, f'{{"op":"login",{fields}}}')


# A name and a password are looked at in time that grows with them alone, also in another thread.
def test_names_and_passwords() -> None:
    for read in (parse_name.__wrapped__, parse_password):
        for size in (30, 100, 250, 500, PASSWORD_BYTES_MAX):
            for text in (*_texts(size), *(f"{text}\x01" for text in _texts(size))):
                steps = _steps(lambda read=read, text=text: _try(read, text))
                assert steps <= 500 + 100 * len(text.encode()), ascii(text[:20])


def _try(read: Callable[[str], object], text: str) -> None:
    with suppress(BadNameError, ValueError):
        read(text)


# A page of rooms is found in as many steps however many there are that people are in.
def test_a_page_of_many_rooms(house: _House) -> None:
    steps = []
    for many in (range(30), range(30, 600)):
        for number in many:
            guest = house.stranger()
            guest.user = house.admin.user
            house.service.handle(guest, rooms.Join(f"many{number}"))
        for after in ("", "many20"):
            ask = partial(house.service.handle, house.admin, rooms.Rooms(after=after, count=5))
            steps.append(min(_steps(ask) for _ in range(3)))
    assert max(steps) < 2 * min(steps)


# Help is put together once: anybody may ask for it, without a login and again and again.
@pytest.mark.parametrize(
    "show", [text_events.render, partial(ndjson_events.render_answer, tag="1")]
)
def test_help_is_made_once(show: Callable[[Event], bytes]) -> None:
    ask = partial(show, server.HelpShown("", Level.USER))
    assert ask() == ask()
    assert _steps(ask) < 250


# A line is shown at once, whatever its letters are, and with whatever blanks between its words.
@pytest.mark.parametrize("words", ["ä b ", "ä\u3000b\t", "\N{WOMAN}\u200d\N{GIRL} "])
def test_lines_are_shown_at_once(words: str) -> None:
    said = talk.Said("lobby", "alice", words * 1_000, now())
    assert _steps(partial(text_events.render, said)) < 250
