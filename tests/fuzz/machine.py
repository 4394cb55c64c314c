"""Three people, two rooms, both wires: whatever they do is shown to whom the model says, in order.

A step is a line that somebody sends, in any pieces, or something that happens: a client comes or is
gone, time passes, the server starts anew. After each, what every client was shown is compared with
the model, event by event, and what programs were sent is held against the schema.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise

import gevent
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from app import commands, events, operations
from app.errors import Refusal
from app.events import Event
from app.names import parse_name
from app.shapes import Command, InRoom, Level
from tests.fuzz import asking
from tests.fuzz.fuzzers import count_inputs
from tests.fuzz.model import Model
from tests.fuzz.state import Account, Seat
from tests.fuzz.world import Terminal, World
from tests.program import check_sent

_NOON = 1_795_348_800_000  # 2026-11-22 12:00 UTC
_STEP_SECONDS_MAX = 20  # a step takes a millisecond: this one hangs

_cuts = st.lists(st.integers(1, 60), max_size=3)
_number = st.integers(0, 30)  # which of those there are
_bad_lines = st.sampled_from(
    [
        *(b"\x80\n", b"x" * 1_100 + b"\n", b'{"op":1}\n', b"{\n", b"/nothing\n", b"/kick\n"),
        *(b'{"op":"nothing","id":7}\n', b'{"op":"join"}\n', b"[]\n", b"\xed\xa0\x80\n"),
    ]
)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut data at some places."""
    places = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


class Chat(RuleBasedStateMachine):
    """See the top of this file."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(_NOON)
        self.model = Model(_NOON)
        self.terminals: dict[Seat, Terminal] = {}
        self.operator = self.world.connect_operator()
        self.terminals[self.model.operator] = self.operator

    def teardown(self) -> None:
        self.world.close()

    # Who is there.

    @initialize()
    def three_people(self) -> None:
        """Let everybody have an account, and be in a room: most of what happens, happens there."""
        for name, wire in zip(asking.USERS, ("text", "ndjson", "text"), strict=True):
            seat = self._come(wire, "10.0.0.1")
            assert seat is not None
            self._ask(seat, commands.Register(name, "secret"))
            self._ask(seat, commands.Join("lobby"))
        self._ask(self.model.operator, operations.UserAdmin("alice"))
        self.log_in("text", "bob")

    @precondition(lambda self: len(self.model.seats) < 7)
    @rule(wire=st.sampled_from(["text", "ndjson"]), address=st.sampled_from(asking.ADDRESSES))
    def connect(self, wire: str, address: str) -> None:
        self._come(wire, address)

    @precondition(lambda self: len(self.model.seats) < 7)
    @rule(wire=st.sampled_from(["text", "ndjson"]), name=st.sampled_from(asking.USERS))
    def log_in(self, wire: str, name: str) -> None:
        seat = self._come(wire, "10.0.0.2")
        account = self.model.accounts.get(name)
        if seat is not None and account is not None:
            self._ask(seat, commands.Login(name, account.password))
            if seat.account is not None:
                self._ask(seat, commands.Join("lobby"))

    @precondition(lambda self: self.model.seats)
    @rule(number=_number)
    def hang_up(self, number: int) -> None:
        seat = self._seat(number)
        shown = self.model.hang_up(seat)
        terminal = self.terminals.pop(seat)
        self.world.hang_up(terminal)
        terminal.take()
        self._compare(shown)

    # What they ask.

    @precondition(lambda self: self._strangers())
    @rule(number=_number, command=asking.of_strangers, cuts=_cuts)
    def ask_as_stranger(self, number: int, command: Command, cuts: list[int]) -> None:
        strangers = self._strangers()
        self._ask(strangers[number % len(strangers)], command, cuts)

    @precondition(lambda self: self.model.tokens)
    @rule(number=_number, which=_number, is_old=st.booleans())
    def log_in_with_token(self, number: int, which: int, *, is_old: bool) -> None:
        tokens = sorted(self.model.token_numbers if is_old else self.model.tokens)
        programs = [seat for seat in self._strangers() if seat.wire == "ndjson"]
        seat = programs[number % len(programs)] if programs else self._come("ndjson", "10.0.0.1")
        if seat is not None:
            self._ask(seat, commands.Login(token=tokens[which % len(tokens)]))

    @precondition(lambda self: self.model.seats)
    @rule(number=_number, command=asking.of_users, cuts=_cuts)
    def ask(self, number: int, command: Command, cuts: list[int]) -> None:
        self._ask(self._seat(number), command, cuts)

    @precondition(lambda self: self.model.seats)
    @rule(number=_number, command=asking.of_moderators, reply=asking.of_users)
    def moderate(self, number: int, command: Command, reply: Command) -> None:
        """Let somebody with a role decide; whom it is about tries at once what they may do now."""
        seats = [
            seat for seat in self.model.seats if any(room.role(seat.account) for room in seat.rooms)
        ]
        seat = seats[number % len(seats)] if seats else self._seat(number)
        if isinstance(command, InRoom) and seat.rooms:
            command = replace(command, room=seat.rooms[number % len(seat.rooms)].shown)
        self._ask(seat, command)
        target = self.model.find_or_none(getattr(command, "user", ""))
        for each in list(target.seats) if target is not None else ():
            self._ask(each, commands.Join(getattr(command, "room", "") or "lobby"))
            self._ask(each, reply)

    @precondition(lambda self: self.model.seats)
    @rule(number=_number, command=asking.of_admins)
    def administer(self, number: int, command: Command) -> None:
        admins = [seat for seat in self.model.seats if seat.level is Level.ADMIN]
        self._ask(admins[number % len(admins)] if admins else self._seat(number), command)

    @rule(command=asking.of_operators | asking.of_moderators, cuts=_cuts)
    def operate(self, command: Command, cuts: list[int]) -> None:
        if isinstance(command, InRoom) and not command.room:
            command = replace(command, room="lobby")
        self._ask(self.model.operator, command, cuts)
        if self.model.is_due:
            self.restart()

    @rule(number=_number, command=asking.from_outside)
    def ask_what_is_not_theirs(self, number: int, command: Command) -> None:
        self._ask(
            [*self.model.seats, self.model.operator][number % (len(self.model.seats) + 1)], command
        )
        if self.model.is_due:
            self.restart()

    @precondition(lambda self: self.model.seats)
    @rule(number=_number, line=_bad_lines, cuts=_cuts)
    def say_nonsense(self, number: int, line: bytes, cuts: list[int]) -> None:
        seat = self._seat(number)
        if seat.account is None or (seat.wire == "text" and line[:1] not in (b"\x80", b"x", b"/")):
            return
        asked = self._feed(seat, line, cuts)
        (refusal,) = asked
        if isinstance(refusal, Refusal):
            code, is_final = refusal.code, refusal.is_final
            self._compare(self.model.refuse(seat, code, is_final=is_final))
        else:
            self._compare(self.model.do(seat, refusal))

    @precondition(lambda self: self.model.seats)
    @rule(said=st.lists(st.tuples(_number, st.sampled_from(["a", "b", "c", "d"])), max_size=12))
    def talk_all_at_once(self, said: list[tuple[int, str]]) -> None:
        """Let many speak before anything is committed: each room is shown one order of it all."""
        shown: list[tuple[Seat, Event]] = []
        for number, body in said:
            seat = self._seat(number)
            if seat.account is not None:
                command = commands.Say(
                    body, room=seat.rooms[0].shown if seat.wire == "ndjson" and seat.rooms else ""
                )
                data = asking.as_json(command) if seat.wire == "ndjson" else body.encode() + b"\n"
                gevent.spawn(self._terminal(seat).feed, self.world.service, [data])
                shown += self.model.do(seat, command)
        gevent.sleep(0)
        self._compare(shown, by_room=True)

    # What comes over HTTP, with the right that a session was given.

    @precondition(lambda self: self.model.tickets)
    @rule(number=_number, data=asking._data, is_old=st.booleans())
    def bring_a_file(self, number: int, data: bytes, *, is_old: bool) -> None:
        path = self._path(number, is_old=is_old)
        files = self.world.service.files
        left = [data] if data else []
        try:
            files.receive(
                path.removeprefix("/f/"), len(data), lambda _: left.pop() if left else b""
            )
            code = ""
        except Refusal as refusal:
            code = refusal.code
        assert code == self.model.bring(path, data)
        self._compare(self.model.out)

    @precondition(lambda self: self.model.tickets)
    @rule(number=_number, is_old=st.booleans())
    def fetch_a_file(self, number: int, *, is_old: bool) -> None:
        path = self._path(number, is_old=is_old)
        found: bytes | str
        try:
            found = b"".join(self.world.service.files.fetch(path.removeprefix("/f/")))
        except Refusal as refusal:
            found = refusal.code
        assert found == self.model.fetch(path)
        self._compare([])

    # What happens.

    @rule(seconds=st.sampled_from([1, 61, 601]))
    def time_passes(self, seconds: int) -> None:
        self.world.now += seconds * 1000
        self.model.now = self.world.now

    @rule()
    def restart(self) -> None:
        for seat in list(self.model.seats):
            self._compare(self._gone(seat))
        self.world.restart()
        self.model.restart()
        self.operator = self.terminals[self.model.operator] = self.world.connect_operator()

    # How it is done.

    def _gone(self, seat: Seat) -> list[tuple[Seat, Event]]:
        shown = self.model.hang_up(seat)
        self.world.hang_up(self.terminals.pop(seat))
        return shown

    def _seat(self, number: int) -> Seat:
        return self.model.seats[number % len(self.model.seats)]

    def _strangers(self) -> list[Seat]:
        return [seat for seat in self.model.seats if seat.account is None]

    def _terminal(self, seat: Seat) -> Terminal:
        return self.terminals[seat]

    def _path(self, number: int, *, is_old: bool) -> str:
        tickets = self.model.tickets
        paths = sorted(tickets, key=lambda path: tickets[path].expires_at)
        self.used = getattr(self, "used", [])
        if is_old and self.used:
            return str(self.used[number % len(self.used)])
        self.used.append(paths[number % len(paths)])
        return paths[number % len(paths)]

    def _come(self, wire: str, address: str) -> Seat | None:
        count_inputs()
        seat, terminal = self.model.connect(wire, address), self.world.connect(wire, address)
        assert (seat is None) == (terminal is None)
        if seat is not None and terminal is not None:
            self.terminals[seat] = terminal
        return seat

    def _feed(self, seat: Seat, data: bytes, cuts: Sequence[int]) -> list[Command | Refusal]:
        with gevent.Timeout(_STEP_SECONDS_MAX, AssertionError(f"hangs: {data!r}")):
            return self._terminal(seat).feed(self.world.service, pieces(data, cuts))

    def _ask(self, seat: Seat, command: Command, cuts: Sequence[int] = ()) -> None:
        """Let a seat ask, and compare all that is shown for it."""
        if isinstance(command, commands.Unshare) and self.model.is_in_limbo(command.file):
            return  # it is there until the reaper comes, whenever that is
        if seat.wire == "text":
            if not asking.can_be_typed(command, is_logged_in=seat.account is not None):
                return
            data, command = asking.as_typed(command)
        elif command.op is None:
            return
        else:
            data = asking.as_json(command)
        asked = self._feed(seat, data, cuts)
        assert len(asked) == 1, (data, asked)
        if isinstance(asked[0], Refusal):
            assert seat.wire == "text" or _is_out_of_bounds(command), (command, asked)
            self._compare(self.model.refuse(seat, asked[0].code, is_final=asked[0].is_final))
            return
        heard = asked[0]
        if isinstance(heard, commands.History) and seat.wire == "text":
            command = replace(command, before=heard.before)  # where the page before ended
        assert heard == command, (data, heard)
        self._compare(self.model.do(seat, command), command)

    def _compare(
        self,
        shown: Iterable[tuple[Seat, Event]],
        asked: Command | None = None,
        *,
        by_room: bool = False,
    ) -> None:
        """Compare what all were shown since the last time with what they should have been."""
        count_inputs()
        expected: defaultdict[Seat, list[Event]] = defaultdict(list)
        for seat, event in shown:
            expected[seat].append(event)
        self.world.settle()
        for seat, terminal in list(self.terminals.items()):
            seen, sent = terminal.take()
            self._learn(expected[seat], seen)
            ours, theirs = _plain(expected[seat]), _plain(seen)
            if by_room:
                ours, theirs = _by_room(ours), _by_room(theirs)
            assert theirs == ours, (f"{seat.name} at {seat.wire} is shown {seen}", ours)
            _check_bytes(seat, sent, asked)
            assert terminal.is_closing == seat.is_closed
            if seat.is_closed:
                del self.terminals[seat]

    def _learn(self, expected: list[Event], seen: list[Event]) -> None:
        """Take over what only the server can know: tokens, and addresses of files."""
        model = self.model
        for ours, theirs in zip(expected, seen, strict=False):
            if isinstance(theirs, events.LoggedIn) and theirs.token:
                account: Account = model.accounts[parse_name(theirs.user).key]
                assert isinstance(ours, events.LoggedIn)
                assert ours.token
                model.tokens[theirs.token] = account
                model.token_numbers[theirs.token] = model.token_ids
            if isinstance(theirs, events.UploadOffered | events.DownloadOffered):
                model.tickets[theirs.url] = model.offered


def _is_out_of_bounds(command: Command) -> bool:
    """Whether a program may be told that a field is not what it can be."""
    return isinstance(command, operations.Purge | commands.Send)


def _plain(shown: Iterable[Event]) -> list[object]:
    """Return events as they can be compared: without sentences, tokens, and order that is none."""
    found = [_event(each) for each in shown]
    place = 0
    while place < len(found):  # who is sent away together is gone in any order
        end = place
        while end < len(found) and isinstance(found[end], events.Disconnected):
            end += 1
        found[place:end] = sorted(found[place:end], key=repr)
        place = max(end, place + 1)
    return found


def _event(event: Event) -> object:
    match event:
        case events.Refused():
            return ("refused", event.code)
        case events.Done():
            return "done"
        case events.StatusShown():
            return "status"
        case events.LoggedIn():
            return ("logged in", event.user, bool(event.token))
        case events.Stored():
            return ("stored", event.message_id)
        case events.UploadOffered() | events.DownloadOffered():
            return replace(event, url="")
        case events.SanctionsListed():
            bans, mutes = (sorted(each, key=repr) for each in (event.bans, event.mutes))
            return replace(event, bans=bans, mutes=mutes)
    listed = {
        each.name: list(value)
        for each in fields(event)
        if isinstance(value := getattr(event, each.name), Sequence)
        and not isinstance(value, str)
        and not isinstance(value, bytes)
    }
    return replace(event, **listed) if is_dataclass(event) and listed else event


def _by_room(shown: list[object]) -> dict[str, list[object]]:
    """Return what is shown room by room: between rooms there is no order, in a burst."""
    found: defaultdict[str, list[object]] = defaultdict(list)
    for each in shown:
        found[getattr(each, "room", "")].append(each)
    return dict(found)


_RAW = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]"
)


def _check_bytes(seat: Seat, sent: bytes, asked: Command | None) -> None:
    """Check that bytes are lines that can be shown to anybody, or are as the schema says."""
    if seat.wire == "ndjson":
        assert sent.endswith(b"\n") or not sent
        answers = 0
        for line in sent.splitlines():
            told = json.loads(line)
            request = {"op": asked.op, "id": 1} if asked and "event" not in told else None
            check_sent(told, None)
            answers += request is not None
        assert asked is None or answers <= 1
        return
    text = re.sub(rb"\xff[\xfb\xfc]\x01", b"", sent).decode()
    assert not _RAW.search(text.replace("\r\n", "")), text


TestChat = Chat.TestCase
