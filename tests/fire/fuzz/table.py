"""The table that people chat at: the world, its model, and how they are kept in step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import gevent
from hypothesis.stateful import RuleBasedStateMachine

from app.errors import Refusal
from app.protocol import accounts, files, rooms, talk
from app.protocol.command import Command, Enc
from app.protocol.event import Event
from app.values.names import parse_name
from tests.fire.fuzz import asking, devices
from tests.fire.fuzz.comparing import by_room as in_rooms
from tests.fire.fuzz.comparing import check_bytes, is_out_of_bounds, plain
from tests.fire.fuzz.fuzzers import count_input
from tests.fire.fuzz.model import Model
from tests.fire.fuzz.state import Account, Seat
from tests.fire.fuzz.world import Terminal, World

_NOON = 1_795_348_800_000  # 2026-11-22 12:00 UTC
_STEP_SECONDS_MAX = 20  # a step takes a millisecond: this one hangs


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut data at some places."""
    places = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


class Table(RuleBasedStateMachine):
    """Knows how to let somebody come, ask and go, and compares what all are shown for it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(_NOON)
        self.model = Model(_NOON)
        self.terminals: dict[Seat, Terminal] = {}
        self.operator = self.world.connect_operator()
        self.terminals[self.model.operator] = self.operator
        self.left_out: set[type[Command]] = set()  # what this example does without
        self.steps = 0  # since the server started
        self._trail = b""  # what tells this example up to now from all others

    def teardown(self) -> None:
        self.world.close()

    def _note(self, *step: object) -> None:
        """Count what happens next: an input is all that happened up to then."""
        self.steps += 1
        self._trail = count_input(self._trail, repr(step).encode())

    def _gone(self, seat: Seat) -> list[tuple[Seat, Event]]:
        self._note("gone", seat.number)
        shown = self.model.hang_up(seat)
        terminal = self.terminals.pop(seat)
        self.world.hang_up(terminal)
        terminal.take()
        return shown

    def _settle_in(self, seat: Seat, number: int) -> None:
        """Let somebody who just came speak for a device, if they can, and enter a room."""
        if seat.wire == "ndjson" and seat.me.name.key in asking.USERS:
            self._ask(seat, asking.device_put(devices.Kit(seat.me.name.key, number)))
        self._ask(seat, rooms.Join("lobby"))

    @staticmethod
    def _rank(seat: Seat) -> bool:
        """Return whether somebody may decide anything where they are."""
        return any(room.role(seat.account) for room in seat.rooms)

    def _programs(self, command: Command) -> list[Seat]:
        """Return who may ask that of devices: who signed it, or else who speaks for any."""
        programs = [seat for seat in self.model.seats if seat.wire == "ndjson" and seat.account]
        payload = asking.payload_of(command)
        if payload is None:
            return [seat for seat in programs if seat.device is not None]
        own = [seat for seat in programs if devices.owner_of(payload) == seat.me.name.key]
        device = devices.device_of(payload)
        return [each for each in own if each.device and each.device.id == device] or own

    def _with_device(self) -> list[Seat]:
        """Return who speaks for a device."""
        return [seat for seat in self.model.seats if seat.device is not None]

    def _speakers(self) -> list[Seat]:
        """Return who speaks for a device, and is in a room."""
        return [seat for seat in self._with_device() if seat.rooms]

    @staticmethod
    def _said(seat: Seat, body: str) -> talk.Say:
        """Return what somebody says in the first of their rooms: encrypted there, if they can."""
        if seat.wire == "text" or not seat.rooms:
            return talk.Say(body)
        room = seat.rooms[0]
        if room.roster is None or seat.device is None:
            return talk.Say(body, room=room.shown)
        said = Enc(alg="megolm.v1", sid="x", ct=f"{asking.SECRET}{body}")
        return talk.Say("", "", said, room.roster.rev, room=room.shown)

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
        self._note("come", wire, address)
        seat, terminal = self.model.connect(wire, address), self.world.connect(wire, address)
        assert (seat is None) == (terminal is None)
        if seat is not None and terminal is not None:
            self.terminals[seat] = terminal
        return seat

    def _feed(self, seat: Seat, data: bytes, cuts: Sequence[int]) -> list[Command | Refusal]:
        self._note(seat.number, data, cuts)
        with gevent.Timeout(_STEP_SECONDS_MAX, AssertionError(f"hangs: {data!r}")):
            return self._terminal(seat).feed(self.world.service, pieces(data, cuts))

    def _ask(self, seat: Seat, command: Command, cuts: Sequence[int] = ()) -> None:
        """Let a seat ask, and compare all that is shown for it."""
        if isinstance(command, files.Unshare) and self.model.is_in_limbo(command.file):
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
            assert seat.wire == "text" or is_out_of_bounds(command), (command, asked)
            self._compare(self.model.refuse(seat, asked[0].code, is_final=asked[0].is_final))
            return
        heard = asked[0]
        if isinstance(heard, talk.History) and seat.wire == "text":
            command = replace(command, before=heard.before)  # where the page before ended
        assert heard == command, (data, heard)
        moves = isinstance(command, rooms.Join)  # from room to room: what these are shown has
        self._compare(self.model.do(seat, command), command, by_room=moves)  # no order together

    def _compare(
        self,
        shown: Iterable[tuple[Seat, Event]],
        asked: Command | None = None,
        *,
        by_room: bool = False,
    ) -> None:
        """Compare what all were shown since the last time with what they should have been."""
        expected: defaultdict[Seat, list[Event]] = defaultdict(list)
        for seat, event in shown:
            expected[seat].append(event)
        self.world.settle()
        self.world.check_live_rooms()
        for seat, terminal in list(self.terminals.items()):
            seen, sent = terminal.take()
            self._learn(expected[seat], seen)
            ours, theirs = plain(expected[seat]), plain(seen)
            if by_room:
                ours, theirs = in_rooms(ours), in_rooms(theirs)
            assert theirs == ours, (f"{seat.name} at {seat.wire} is shown {seen}", ours)
            check_bytes(seat, sent, asked)
            assert terminal.is_closing == seat.is_closed
            if seat.is_closed:
                del self.terminals[seat]

    def _learn(self, expected: list[Event], seen: list[Event]) -> None:
        """Take over what only the server can know: tokens, and addresses of files."""
        model = self.model
        for ours, theirs in zip(expected, seen, strict=False):
            if isinstance(theirs, accounts.LoggedIn) and theirs.token:
                account: Account = model.accounts[parse_name(theirs.user).key]
                assert isinstance(ours, accounts.LoggedIn)
                assert ours.token
                model.tokens[theirs.token] = account
                model.token_numbers[theirs.token] = model.token_ids
            if isinstance(theirs, files.UploadOffered | files.DownloadOffered):
                model.tickets[theirs.url] = model.offered
