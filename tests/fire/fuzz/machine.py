"""Three people, two rooms, both wires: whatever they do is shown to whom the model says, in order.

A step is a line that somebody sends, in any pieces, or something that happens: a client comes or is
gone, time passes, the server starts anew. After each, what every client was shown is compared with
the model, event by event, and what programs were sent is held against the schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import gevent
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from app.errors import Refusal
from app.protocol import accounts, moderation, talk
from app.protocol import devices as protocol
from app.protocol.command import Command, Enc, InRoom, Level
from app.protocol.devices import Letter, Target
from app.protocol.event import Event
from app.protocol.rooms import Encrypt, Join, Roster
from tests.fire.fuzz import asking, devices
from tests.fire.fuzz.state import Seat
from tests.fire.fuzz.table import Table

_cuts = st.lists(st.integers(1, 60), max_size=3)
_wire = st.sampled_from(["text", "ndjson"])
_SEATS_MAX = 7  # what is more is only said to more
_STEPS_BETWEEN_STARTS = 25  # at least: it takes as long as all of them
_number = st.integers(0, 30)  # which of those there are
_new_keys = st.lists(st.integers(4, 60), min_size=2, max_size=4, unique=True)
_bodies = st.lists(st.sampled_from("abc"), min_size=1, max_size=3)
_bad_lines = st.sampled_from(
    [
        *(b"\x80\n", b"x" * 1_100 + b"\n", b'{"op":1}\n', b"{\n", b"/nothing\n", b"/kick\n"),
        *(b'{"op":"nothing","id":7}\n', b'{"op":"join"}\n', b"[]\n", b"\xed\xa0\x80\n"),
    ]
)


class Chat(Table):
    """See the top of this file."""

    # Who is there.

    @initialize(
        wires=st.tuples(_wire, _wire, _wire), seed=st.integers(0, 1 << 16), e2ee=st.booleans()
    )
    def three_people(self, wires: Sequence[str], seed: int, *, e2ee: bool) -> None:
        """Let everybody have an account, and be in a room: most of what happens, happens there."""
        self.left_out = asking.left_out(seed)
        for name, wire in zip(asking.USERS, wires, strict=True):
            seat = self._come(wire, "10.0.0.1")
            assert seat is not None
            self._ask(seat, accounts.Register(name, "secret"))
            self._settle_in(seat, devices.one_of(seed))
        self._ask(self.model.operator, accounts.UserAdmin("alice"))
        if e2ee:
            self._ask(self.model.seats[0], Encrypt(room="lobby"))
        self.log_in("ndjson" if e2ee else "text", "bob", seed)

    @precondition(lambda self: len(self._strangers()) < 2)
    @rule(wire=_wire, address=st.sampled_from(asking.ADDRESSES))
    def connect(self, wire: str, address: str) -> None:
        self._come(wire, address)

    @precondition(lambda self: len(self.model.seats) < _SEATS_MAX)
    @rule(wire=_wire, name=st.sampled_from(asking.USERS), number=_number)
    def log_in(self, wire: str, name: str, number: int) -> None:
        """Let somebody come back, who has an account; a program speaks for a device."""
        seat = self._come(wire, "10.0.0.2")
        account = self.model.accounts.get(name)
        if seat is not None and account is not None:
            self._ask(seat, accounts.Login(name, account.password))
            if seat.account is not None:
                self._settle_in(seat, devices.one_of(number))

    @precondition(lambda self: len(self.model.seats) > 2)
    @rule(number=_number)
    def hang_up(self, number: int) -> None:
        self._compare(self._gone(self._seat(number)))

    @precondition(lambda self: self.model.seats)
    @rule(number=_number, command=asking.of_removals | asking.of_judges, wire=_wire)
    def be_away_meanwhile(self, number: int, command: Command, wire: str) -> None:
        """Let somebody be gone while those who may decide about them, who then comes back."""
        away = self._seat(number).account
        if away is None:
            return
        for seat in list(away.seats):
            self._compare(self._gone(seat))
        judges = [seat for seat in self.model.seats if seat.rooms] or [self.model.operator]
        judge = max(judges, key=self._rank)
        room = judge.rooms[number % len(judge.rooms)].shown if judge.rooms else "lobby"
        self._ask(judge, replace(command, room=room, user=away.shown))
        self._ask(judge, Roster(room=room))
        self.log_in(wire, away.name.key, number)

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
            self._ask(seat, accounts.Login(token=tokens[which % len(tokens)]))

    @precondition(lambda self: self.model.seats)
    @rule(number=_number, command=asking.of_users, cuts=_cuts)
    def ask(self, number: int, command: Command, cuts: list[int]) -> None:
        self._ask(self._seat(number), command, cuts)

    @precondition(lambda self: self.model.seats)
    @rule(number=_number, command=asking.of_moderators, reply=asking.of_users)
    def moderate(self, number: int, command: Command, reply: Command) -> None:
        """Let somebody with a role decide; whom it is about tries at once what they may do now."""
        seats = [seat for seat in self.model.seats if self._rank(seat)]
        seat = seats[number % len(seats)] if seats else self._seat(number)
        if isinstance(command, InRoom) and seat.rooms:
            command = replace(command, room=seat.rooms[number % len(seat.rooms)].shown)
        self._ask(seat, command)
        target = self.model.find_or_none(getattr(command, "user", ""))
        for each in list(target.seats) if target is not None else ():
            self._ask(each, Join(getattr(command, "room", "") or "lobby"))
            self._ask(each, reply)

    @precondition(lambda self: self.model.seats)
    @rule(number=_number, other=_number, command=asking.about_one, body=st.sampled_from("ab"))
    def be_two(self, number: int, other: int, command: Command, body: str) -> None:
        """Let somebody do something about one who is here, who then talks to them."""
        seat, about = self._seat(number), self._seat(other)
        if seat.account is None or about.account is None:
            return
        if isinstance(command, InRoom):  # for those who may
            judges = [each for each in self.model.seats if self._rank(each)]
            seat = judges[number % len(judges)] if judges else seat
        if hasattr(command, "user"):
            command = replace(command, user=about.name)
        self._ask(seat, command)
        self._ask(about, talk.Tell(seat.name, body))
        kind = talk.Say if body == "a" else talk.Emote
        self._ask(about, kind(body, room=about.rooms[0].shown if about.rooms else ""))

    @precondition(lambda self: 0 < len(self.model.seats) < _SEATS_MAX)
    @rule(number=_number, wires=st.tuples(_wire, _wire), command=asking.of_removals)
    def be_there_twice(self, number: int, wires: Sequence[str], command: Command) -> None:
        """Let somebody be sent out who is in a room twice, and elsewhere, too; then come back."""
        about = self._seat(number).account
        if about is None:
            return
        self._ask(self._seat(number), Join("lobby"))
        for wire in wires:
            self.log_in(wire, about.name.key, number)
        for last in about.seats[-1:]:
            self._ask(last, Join("den"))
        self._ask(self.model.operator, replace(command, room="lobby", user=about.shown))
        self._ask(self.model.operator, moderation.Unban(room="lobby", user=about.shown))
        for seat in list(about.seats):
            self._ask(seat, Join("lobby"))

    # What devices ask, and what they encrypt.

    @precondition(lambda self: self._speakers())
    @rule(
        number=_number, said=asking.enc, txn=asking.txns, behind=st.sampled_from([*[0] * 6, 1, -1])
    )
    def say_encrypted(self, number: int, said: Enc, txn: str, behind: int) -> None:
        """Let a device say something in a room, for those who belong to it, or did before."""
        seats = self._speakers()
        seat = seats[number % len(seats)]
        rooms = [room for room in seat.rooms if room.roster is not None] or seat.rooms
        room = rooms[number % len(rooms)]
        rev = max(1, room.roster.rev - behind) if room.roster else 1
        self._ask(seat, talk.Say("", txn, said, rev, room=room.shown))

    @precondition(lambda self: any(seat.wire == "ndjson" for seat in self.model.seats))
    @rule(
        number=_number,
        asked=st.lists(asking.of_devices, min_size=1, max_size=4),
        is_right=st.sampled_from([True, True, True, False]),
    )
    def ask_as_device(self, number: int, asked: list[Command], *, is_right: bool) -> None:
        """Let programs ask things of devices, mostly those that may; then what follows from it."""
        for command in asked:
            seats = self._programs(command) if is_right else []
            seat = self._seat(number) if not seats else seats[number % len(seats)]
            if is_right and seat.account and isinstance(command, protocol.ManifestPut):
                numbers = devices.numbers_of(command.payload)
                command = asking.manifest_put(seat.me.name.key, seat.me.manifests + 1, numbers)
            self._ask(seat, command)
            question = asking.what_follows(command)
            for each in [each for each in self.model.seats if each.device] if question else ():
                self._ask(each, question)

    @precondition(lambda self: self._with_device())
    @rule(number=_number, keys=_new_keys, others=st.lists(_number, min_size=1, max_size=6))
    def claim_in_turn(self, number: int, keys: list[int], others: list[int]) -> None:
        """Let a device leave keys, and some claim them one after the other, to the last one."""
        seats = self._with_device()
        seat = seats[number % len(seats)]
        kit = devices.kit_of(seat.speaks_for.id)
        self._ask(seat, protocol.KeysPut([kit.offered(f"o:{key}", 0) for key in keys]))
        claim = protocol.KeysClaim([Target(user=kit.user, device=kit.id)])
        for each in others:
            self._ask(seats[each % len(seats)], claim)

    @precondition(lambda self: self._with_device())
    @rule(
        number=_number,
        sent=st.lists(st.tuples(_number, _bodies), min_size=1, max_size=3),
        limit=st.integers(1, 3),
        pages=st.integers(0, 3),
    )
    def write_letters(
        self, number: int, sent: list[tuple[int, list[str]]], limit: int, pages: int
    ) -> None:
        """Let a device be sent letters, read them page by page, and let go of some."""
        seats = self._with_device()
        reader = seats[number % len(seats)]
        kit = devices.kit_of(reader.speaks_for.id)
        for sender, bodies in sent:
            letters = [Letter(user=kit.user, device=kit.id, body=body) for body in bodies]
            txn = f"new{self.model.letter_ids}"
            self._ask(seats[sender % len(seats)], protocol.DeviceSend(txn, letters))
        ends = self._read_letters(reader, limit)
        self._ask(reader, protocol.DeviceAck(ends[pages % len(ends)]))
        self._read_letters(reader, limit)

    def _read_letters(self, reader: Seat, limit: int) -> list[int]:
        """Let a device read all its letters, and return where its pages begin."""
        waiting = self.model.waiting_for(reader.speaks_for)
        places = [0, *(each.n for each in waiting[limit - 1 :: limit])]
        for after in places:
            self._ask(reader, protocol.DeviceFetch(after, limit))
        return places

    @precondition(lambda self: self.model.seats)
    @rule(number=_number, command=asking.of_admins)
    def administer(self, number: int, command: Command) -> None:
        admins = [seat for seat in self.model.seats if seat.level is Level.ADMIN]
        rooms = [room.shown for room in self.model.rooms.values()]
        if getattr(command, "room", "") and rooms and number % 2:
            command = replace(command, room=rooms[number % len(rooms)])
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
                command = self._said(seat, body)
                data = asking.as_json(command) if seat.wire == "ndjson" else body.encode() + b"\n"
                self._note(seat.number, data)
                gevent.spawn(self._terminal(seat).feed, self.world.service, [data])
                shown += self.model.do(seat, command)
        gevent.sleep(0)
        self._compare(shown, by_room=True)

    # What comes over HTTP, with the right that a session was given.

    @precondition(lambda self: self.model.tickets)
    @rule(number=_number, data=asking._data, is_old=st.booleans())
    def bring_a_file(self, number: int, data: bytes, *, is_old: bool) -> None:
        path = self._path(number, is_old=is_old)
        self._note("bring", number, data)
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
        self._note("fetch", number)
        found: bytes | str
        files, token = self.world.service.files, path.removeprefix("/f/")
        try:
            found = b"".join(files.fetch(token, 0, files.offered(token).size, lambda: True))
        except Refusal as refusal:
            found = refusal.code
        assert found == self.model.fetch(path)
        self._compare([])

    # What happens.

    @rule(seconds=st.sampled_from([1, 61, 601]))
    def time_passes(self, seconds: int) -> None:
        self._note("time", seconds)
        self.world.now += seconds * 1000
        self.model.now = self.world.now

    @precondition(lambda self: self.steps > _STEPS_BETWEEN_STARTS)
    @rule(wires=st.tuples(_wire, _wire, _wire))
    def restart(self, wires: Sequence[str] = ("text", "ndjson", "ndjson")) -> None:
        """Let the server start anew, and people come back."""
        for seat in list(self.model.seats):
            self._compare(self._gone(seat))
        self._note("restart")
        self.world.restart()
        self.model.restart()
        self.steps = 0
        self.operator = self.terminals[self.model.operator] = self.world.connect_operator()
        for number, (name, wire) in enumerate(zip(asking.USERS, wires, strict=True)):
            self.log_in(wire, name, number)


TestChat = Chat.TestCase
