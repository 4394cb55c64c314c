"""A chat as plain as can be: who hears what, who may do what, in which order. The fuzzer's oracle.

`do` takes what one seat asks, and returns what every seat is shown for it, in order. There is no
database, no greenlet, no batch and no cache here: what a room knows is a list. Sentences are not
its matter, but for those that repeat what somebody typed.
"""

from __future__ import annotations

from app.protocol import accounts, moderation, rooms, server, talk
from app.protocol.command import Command, Level
from app.protocol.event import Event
from app.values.names import harmless
from tests.fire.fuzz.model_acts import Acts
from tests.fire.fuzz.model_devices import Devices
from tests.fire.fuzz.model_encrypted import Encrypted
from tests.fire.fuzz.model_files import Files
from tests.fire.fuzz.model_moderation import Moderation
from tests.fire.fuzz.state import Account, Message, Refused, Room, Seat, name_of


class Model(Moderation, Files, Devices, Encrypted, Acts):
    """All of it: what is asked goes to the method named after the command's word."""

    def do(self, seat: Seat, command: Command) -> list[tuple[Seat, Event]]:
        """Return what everybody is shown for a command, in order."""
        self.out.clear()
        try:
            self._check_level(seat, type(command))
            getattr(self, f"_{command.word.replace('.', '_')}")(seat, command)
        except Refused as refused:
            self.tell(seat, server.Refused(refused.code, ""))
            if refused.is_final:
                self._close(seat)
        return self.out

    def refuse(self, seat: Seat, code: str, *, is_final: bool) -> list[tuple[Seat, Event]]:
        """Return what is shown for a line that is no command."""
        self.out.clear()
        self.tell(seat, server.Refused(code, ""))
        if is_final:
            self._close(seat)
        return self.out

    def hang_up(self, seat: Seat) -> list[tuple[Seat, Event]]:
        """Return what others are shown when a client is gone."""
        self.out.clear()
        self._close(seat)
        return self.out

    def _check_level(self, seat: Seat, kind: type[Command]) -> None:
        if not kind.is_for(seat.level):
            raise Refused("login_required" if seat.level is Level.ANYBODY else "not_allowed")

    # Who is here.

    def _attach(self, seat: Seat, account: Account, remember: str) -> None:
        if account.is_disabled:
            raise Refused("disabled")
        if self.server_bans.longest(account, None, self.now):
            raise Refused("banned")
        if remember:
            self.token_ids += 1
            label = harmless(remember)
            account.tokens.append(accounts.Token(self.token_ids, label, self.now, self.now))
        seat.account = account
        account.seats.append(seat)
        token = self.token_of(account, self.token_ids) if remember else None
        self.tell(seat, accounts.LoggedIn(account.shown, token))

    def _register(self, seat: Seat, command: accounts.Register) -> None:
        if seat.account:
            raise Refused("already_logged_in")
        name = name_of(command.name)
        self.check_password(command.password)
        account = self.make_account(name, command.password)
        self._attach(seat, account, command.remember)

    def _login(self, seat: Seat, command: accounts.Login) -> None:
        if seat.account:
            raise Refused("already_logged_in")
        if command.token:
            account = self.tokens.get(command.token)
        else:
            account = self.find_or_none(command.name)
            if account and account.password != command.password:
                account = None
        if account is None:
            seat.failures += 1
            raise Refused("login_refused", is_final=seat.failures >= 3)
        self._attach(seat, account, command.remember)
        if account.mail:
            heard = [each for each in account.mail if each.user not in account.ignored]
            self.tell(seat, talk.MailShown(heard, self.now))
            account.mail.clear()

    def _passwd(self, seat: Seat, command: accounts.Passwd) -> None:
        self.check_password(command.new)
        if seat.me.password != command.old:
            raise Refused("login_refused")
        self.set_password(seat.me, command.new)
        others = [each for each in seat.me.seats if each is not seat]
        self.end(others, server.Refused("login_required", ""))
        self.done(seat)
        for each in others:
            self._close(each)

    def _tokens(self, seat: Seat, command: accounts.Tokens) -> None:
        me = seat.me
        if command.revoke is not None:
            kept = [each for each in me.tokens if each.number != command.revoke]
            if len(kept) == len(me.tokens):
                raise Refused("no_such_token")
            me.tokens = kept
            self.forget_tokens(me)
        self.tell(seat, accounts.TokensListed(list(me.tokens)))

    def _ping(self, seat: Seat, _command: server.Ping) -> None:
        if seat.level is Level.ANYBODY:
            self.tell(seat, server.Greeted(is_registration_open=True, needs_tls=False))
        else:
            self.done(seat)

    def _help(self, seat: Seat, command: server.Help) -> None:
        self.tell(seat, server.HelpShown(command.command, max(seat.level, Level.USER)))

    def _quit(self, seat: Seat, _command: server.Quit) -> None:
        self.tell(seat, server.SaidGoodbye())
        self._close(seat)

    # Rooms.

    def _join(self, seat: Seat, command: rooms.Join) -> None:
        name = name_of(command.room)
        if any(room.name.key == name.key for room in seat.rooms):
            raise Refused("already_there")
        if name.key not in self.rooms:
            self.check_may_speak(seat)
        room = self.rooms.get(name.key) or self.make_room(name, seat.me)
        if not room.seats:
            room.head_id = self.message_ids  # it is read again
        self.check_may_enter(room, seat.me)
        self.admit(room, seat.me)
        if seat.wire == "text" and seat.rooms:
            self._leave(seat, rooms.Leave())
        is_first = seat.me not in room.people
        if is_first:
            self.show(room, rooms.Joined(room.shown, seat.name))
        room.seats.append(seat)
        seat.rooms.append(room)
        messages, is_complete = room.replay(command.since)
        heard = [said for said in messages if said.user not in seat.me.ignored]
        last_id = room.messages[-1].id if room.messages else 0
        users = [each.shown for each in room.people]
        self.tell(
            seat,
            rooms.Entered(
                room.shown,
                room.topic,
                users,
                heard,
                self.now,
                is_complete,
                last_id,
                e2ee=room.roster is not None,
            ),
        )

    def _leave(self, seat: Seat, command: rooms.Leave) -> None:
        room = self.room_of(seat, command.room)
        self.drop(seat, room)
        self.tell(seat, rooms.Departed(room.shown))
        if seat.me not in room.people:
            self.show(room, rooms.Left(room.shown, seat.name))
            self.end_membership(room, seat.me)

    def _who(self, seat: Seat, command: rooms.Who) -> None:
        room = self.room_of(seat, command.room)
        people = [
            rooms.Person(each.shown, room.role(each), room.away_of(each, self.now))
            for each in room.people
        ]
        self.tell(seat, rooms.PeopleListed(room.shown, people))

    def _rooms(self, seat: Seat, _command: rooms.Rooms) -> None:
        found = [
            rooms.RoomSummary(room.shown, len(room.people), room.topic)
            for room in self.rooms.values()
        ]
        found.sort(key=lambda each: (-each.users, each.name.casefold()))
        self.tell(seat, rooms.RoomsListed(found, has_more=False))

    # What is said.

    def _say(self, seat: Seat, command: talk.Say | talk.Emote) -> None:
        is_action = isinstance(command, talk.Emote)
        if isinstance(command, talk.Say) and (
            command.enc is not None or not command.body or command.if_rev is not None
        ):
            message = self.encrypted(seat, command)
        else:
            room = self.room_of(seat, command.room)
            self.check_may_speak(seat, room)
            if room.roster is not None:
                raise Refused("e2ee_required")
            message = Message(0, seat.me, harmless(command.body), self.now, is_action, room)
        room = message.room
        assert room is not None
        if self.store(message, command.txn):
            room.messages.append(message)
            room.head_id = message.id
            self.show(room, room.said(message), by=seat.me)
        if seat.wire == "ndjson":
            self.tell(seat, talk.Stored(message.id, ""))

    _me = _say

    def _history(self, seat: Seat, command: talk.History) -> None:
        room = self.room_of(seat, command.room)
        goes_on = command.after is not None and command.before is None
        end_id = self.message_ids + 1
        before_id = end_id if command.before is None else min(command.before, end_id)
        found = [m for m in room.messages if (command.after or 0) < m.id < before_id]
        page = found[: command.count] if goes_on else found[-command.count :]
        self.tell(
            seat,
            talk.HistoryShown(
                room.shown,
                [room.said(m) for m in page if m.author.shown not in seat.me.ignored],
                has_more=len(page) < len(found),
                before_id=page[0].id if page else 1,
                now=self.now,
                last_id=page[-1].id if page else command.after or 0,
            ),
        )

    def _msg(self, seat: Seat, command: talk.Tell) -> None:
        self.check_content(command)
        recipient = self.find(command.user)
        self.check_may_speak(seat)
        body, enc = harmless(command.body), command.enc
        device = "" if enc is None else self.device_of(seat).id
        message = Message(0, seat.me, body, self.now, recipient=recipient)
        is_new = self.store(message, command.txn)
        said: talk.PrivateMessage
        if enc is None:
            said = talk.PrivatelySaid(seat.name, recipient.shown, body, self.now, message.id)
        else:
            said = talk.PrivatelySaidEncrypted(
                seat.name, recipient.shown, device, enc, self.now, message.id
            )
        if is_new and not recipient.seats:
            recipient.mail.append(said)
        for each in recipient.seats if is_new else ():
            if seat.name not in recipient.ignored:
                self.tell(each, said)
        if is_new and enc is not None and recipient is not seat.me:
            for each in seat.me.seats:
                if each.device is not None:
                    self.tell(each, said)
        away = recipient.away if recipient.seats else None
        self.tell(seat, talk.PrivatelySent(message.id, recipient.shown, body, away))

    def _away(self, seat: Seat, command: talk.Away) -> None:
        if command.why:
            self.check_may_speak(seat)
        is_back = seat.me.away is not None and not command.why
        seat.me.away = None if is_back else harmless(command.why)
        self.done(seat)

    def _ignore(self, seat: Seat, command: talk.Ignore) -> None:
        me = seat.me
        if not command.user:
            ignored = sorted(me.ignored, key=str.casefold)
            self.tell(seat, talk.IgnoredListed(ignored))
            return
        other = self.find(command.user)
        if other is me:
            raise Refused("yourself")
        me.ignored.add(other.shown)
        self.done(seat)

    def _unignore(self, seat: Seat, command: talk.Unignore) -> None:
        other = self.find(command.user, ever=True)
        if other.shown not in seat.me.ignored:
            raise Refused("not_ignored")
        seat.me.ignored.discard(other.shown)
        self.done(seat)

    def _topic(self, seat: Seat, command: moderation.Topic) -> None:
        room: Room = self.room_of(seat, command.room)
        if command.text is None:
            self.tell(seat, moderation.TopicShown(room.shown, room.topic))
            return
        self.check_may_speak(seat, room)
        if not room.role(seat.account):
            raise Refused("not_allowed")
        room.topic = "" if command.text == "-" else harmless(command.text).strip()
        self.show(room, moderation.TopicSet(room.shown, seat.name, room.topic))
