"""The model's rules for admins and the operator: accounts, rooms, the whole server."""

from __future__ import annotations

from collections.abc import Callable

from app.errors import GreenroomError
from app.protocol import accounts, moderation, removal, server
from app.protocol import rooms as protocol
from app.protocol.command import Command, Level
from app.protocol.event import Event, Noticed
from app.values.names import harmless
from app.values.networks import parse_network
from tests.fire.fuzz.model_base import Base
from tests.fire.fuzz.state import (
    Account,
    File,
    Message,
    Refused,
    Room,
    Roster,
    Seat,
    ServerSanctions,
    Ticket,
    check_reason,
    is_in,
    name_of,
    room_record,
)

Target = Account | str  # an account, or a network


class Acts(Base):
    """What admins and the operator decide."""

    # The whole server.

    def _announce(self, seat: Seat, command: server.Announce) -> None:
        text = harmless(command.text).strip()
        if not text:
            raise Refused("bad_arguments")
        self.check_may_speak(seat)
        self.done(seat)
        self._notice(server.Announced(text))

    def _notice(self, notice: Noticed) -> None:
        for each in self.seats:
            if each.account:
                self.tell(each, notice)

    def _status(self, seat: Seat, _command: server.Status) -> None:
        self.tell(seat, server.StatusShown([], "", 0, True, "", None, None))  # type: ignore[arg-type]

    def _sessions(self, seat: Seat, command: accounts.Sessions) -> None:
        mine = [] if seat.is_operator else list(seat.me.seats)
        ended = [each for each in mine if each.number == command.end]
        if command.end is not None and not ended:
            raise Refused("no_such_session")
        self.end(ended, server.Refused("session_ended", ""))
        shown = self.seats if seat.level >= Level.ADMIN else mine
        found = [
            accounts.Connection(
                each.number,
                each.account.shown if each.account else None,
                each.address,
                each.wire,
                sorted(room.shown for room in each.rooms),
                0,
                each.connected_at,
                each is seat,
            )
            for each in shown
            if each.number > command.after and each not in ended
        ]
        if seat not in ended:
            self.tell(seat, accounts.SessionsListed(found, has_more=False))
        for each in ended:
            self._close(each)

    def _shutdown(self, seat: Seat, command: server.Shutdown) -> None:
        if command.cancel:
            if not self.has_plan or self.is_due:
                raise Refused("not_planned")
            self.has_plan = False
            self._notice(server.ShutdownCalledOff())
            self.done(seat)
            return
        check_reason(command.seconds, command.reason)
        self.has_plan, reason = True, harmless(command.reason)
        self.done(seat)
        if command.seconds:
            self._notice(server.ShutdownNeared(command.seconds, reason))
            return
        self.is_due = True
        if reason:
            self._notice(server.ShutdownNeared(0, reason))

    def _vacuum(self, seat: Seat, _command: removal.Vacuum) -> None:
        self.done(seat)

    def _backup(self, _seat: Seat, _command: server.Backup) -> None:
        raise Refused("not_stored")  # that is no file

    # Sanctions.

    def _target(self, seat: Seat, text: str) -> Target:
        """Return whom a text means, if the seat may act on them. Raises Refused."""
        try:
            network = None if text.startswith("@") else parse_network(text)
        except GreenroomError:
            raise Refused("bad_arguments") from None
        target = str(network) if network is not None else self.find(text.removeprefix("@"))
        if seat.is_operator:
            return target
        hit = {each.account for each in self._seats_of(target) if each.account}
        if seat.account in hit or target is seat.account:
            raise Refused("yourself")
        if any(each.is_admin for each in {*hit, target} if isinstance(each, Account)):
            raise Refused("not_allowed")
        return target

    def _seats_of(self, target: Target) -> list[Seat]:
        if isinstance(target, Account):
            return list(target.seats)
        return [each for each in self.seats if is_in(each.address, target)]

    def _revoke_of(self, target: Target, is_meant: Callable[[Ticket], bool] = bool) -> None:
        """Take away what tickets a target has, or those of all who are there."""
        owners = {seat.account for seat in self._seats_of(target)} | {target}
        self.revoke(lambda ticket: ticket.owner in owners and is_meant(ticket))

    def _check_reason(self, seat: Seat, command: Command) -> None:
        if command.reason:
            self.check_may_speak(seat)

    def _send_away(self, seat: Seat, seats: list[Seat], last_words: Event) -> None:
        """End seats, say that it is done, and show so where they were."""
        ended = self.end(seats, last_words)
        self.done(seat)
        for each in ended:
            self._close(each)

    def _serverkick(self, seat: Seat, command: moderation.ServerKick) -> None:
        target = self._target(seat, command.target)
        seats = self._seats_of(target)
        if not seats:
            raise Refused("not_here")
        self._check_reason(seat, command)
        self._revoke_of(target)
        self._send_away(seat, seats, server.Refused("kicked", ""))

    def _put(
        self, seat: Seat, target: Target, kind: ServerSanctions, command: Command
    ) -> moderation.ServerSanction:
        check_reason(command.seconds, command.reason)
        self._check_reason(seat, command)
        until = None if command.seconds is None else self.now + command.seconds * 1000
        is_account = isinstance(target, Account)
        made = moderation.ServerSanction(
            target.shown if is_account else "",
            seat.name,
            harmless(command.reason),
            until,
            "" if is_account else target,
        )
        kind.put(target, made)
        return made

    def _serverban(self, seat: Seat, command: moderation.ServerBan) -> None:
        target = self._target(seat, command.target)
        self._put(seat, target, self.server_bans, command)
        self._revoke_of(target)
        if isinstance(target, Account):
            self.end_rights(target)
        self._send_away(seat, self._seats_of(target), server.Refused("banned", ""))

    def _servermute(self, seat: Seat, command: moderation.ServerMute) -> None:
        target = self._target(seat, command.target)
        made = self._put(seat, target, self.server_mutes, command)
        self._revoke_of(target, lambda ticket: ticket.file is None)
        for each in self._seats_of(target):
            if each.account:
                each.account.away = each.account.away and ""
                self.tell(each, moderation.MutedEverywhere(made.reason, made.until))
        self.done(seat)

    def _serverunban(self, seat: Seat, command: moderation.ServerUnban) -> None:
        target = self._target(seat, command.target)
        if not self.server_bans.find(target, self.now):
            raise Refused("no_ban")
        del self.server_bans.by_key[target]
        self.done(seat)

    def _serverunmute(self, seat: Seat, command: moderation.ServerUnmute) -> None:
        target = self._target(seat, command.target)
        if not self.server_mutes.find(target, self.now):
            raise Refused("no_mute")
        del self.server_mutes.by_key[target]
        for each in self._seats_of(target):
            left = self.server_mutes.longest(each.account, each.address, self.now)
            if each.account and not left:
                self.tell(each, moderation.UnmutedEverywhere())
        self.done(seat)

    def _serverbans(self, seat: Seat, _command: moderation.ServerBans) -> None:
        bans, mutes = self.server_bans.all(self.now), self.server_mutes.all(self.now)
        self.tell(seat, moderation.ServerSanctionsListed(bans, mutes))

    # Accounts.

    def _account(self, seat: Seat, name: str) -> Account:
        account = self.find(name)
        if account is seat.account:
            raise Refused("yourself")
        if account.is_admin and not seat.is_operator:
            raise Refused("not_allowed")
        return account

    def _disable(self, seat: Seat, command: accounts.UserDisable) -> None:
        account = self._account(seat, command.user)
        account.is_disabled = True
        self.end_rights(account)
        self._send_away(seat, list(account.seats), server.Refused("disabled", ""))

    def _enable(self, seat: Seat, command: accounts.UserEnable) -> None:
        self._account(seat, command.user).is_disabled = False
        self.done(seat)

    def _createuser(self, seat: Seat, command: accounts.UserCreate) -> None:
        name = name_of(command.user)
        self.check_password(command.password)
        self.make_account(name, command.password, is_admin=command.is_admin)
        self.done(seat)

    def _setpassword(self, seat: Seat, command: accounts.UserPassword) -> None:
        account = self._account(seat, command.user)
        self.check_password(command.password)
        self.set_password(account, command.password)
        self._send_away(seat, list(account.seats), server.Refused("login_required", ""))

    def _admin(self, seat: Seat, command: accounts.UserAdmin) -> None:
        self._account(seat, command.user).is_admin = command.is_admin
        self.done(seat)

    def _userdelete(self, seat: Seat, command: accounts.UserDelete) -> None:
        account = self.find(command.user)
        ended = self.end(list(account.seats), server.Refused("deleted", ""))
        self.done(seat)
        self.end_devices(account)
        self._leave_behind(seat, account)
        for each in ended:
            self._close(each)

    def _unregister(self, seat: Seat, command: accounts.Unregister) -> None:
        account = seat.me
        if account.password != command.password:
            raise Refused("login_refused")
        others = [each for each in account.seats if each is not seat]
        self.end(others, server.Refused("deleted", ""))
        self.done(seat)
        seat.is_closed = True
        self.end_devices(account)
        for each in others:
            self._close(each)
        self._leave_behind(seat, account)
        self._close(seat)

    def _leave_behind(self, seat: Seat, account: Account) -> None:
        """Take an account out of all that it was in; its rooms are a moderator's from now on."""
        self.end_rights(account)
        account.is_deleted, account.is_disabled, account.is_admin = True, True, False
        account.ignored.clear()
        for sanctions in (self.server_bans, self.server_mutes):
            sanctions.by_key.pop(account, None)
        for room in sorted(self.rooms.values(), key=lambda each: each.name.key):
            room.moderators.discard(account)
            room.bans.pop(account, None)
            room.mutes.pop(account, None)
            self.end_membership(room, account)
            heir = min(room.moderators, key=lambda each: each.id, default=None)
            if room.owner is account and heir is not None:
                self._make_owner(room, heir)
                self.show(room, protocol.OwnerSet(room.shown, heir.shown, seat.name))

    @staticmethod
    def _make_owner(room: Room, owner: Account) -> None:
        room.owner = owner
        room.moderators.discard(owner)
        for sanctions in (room.bans, room.mutes):
            sanctions.pop(owner, None)

    def _users(self, seat: Seat, command: accounts.UserList) -> None:
        after = name_of(command.after).key if command.after else ""
        found = [
            accounts.Account(
                each.shown, each.is_admin, each.is_disabled, each.made_at, each.is_deleted
            )
            for key, each in sorted(self.accounts.items())
            if key > after
        ]
        self.tell(seat, accounts.AccountsListed(found, has_more=False))

    # Rooms.

    def _roomlist(self, seat: Seat, command: protocol.RoomList) -> None:
        after = name_of(command.after).key if command.after else ""
        found = [room_record(room) for key, room in sorted(self.rooms.items()) if key > after]
        self.tell(seat, protocol.RoomRecordsListed(found, has_more=False))

    def _roomcreate(self, seat: Seat, command: protocol.RoomCreate) -> None:
        owner = self.find(command.owner)
        room = self.make_room(name_of(command.room), owner)
        if command.e2ee:
            room.roster = Roster(self.message_ids, {owner})
        self.done(seat)

    def _roomowner(self, seat: Seat, command: protocol.RoomOwner) -> None:
        owner, room = self.find(command.user), self.any_room(command.room)
        if room.owner is owner:
            raise Refused("is_owner")
        self._make_owner(room, owner)
        self.show(room, protocol.OwnerSet(room.shown, owner.shown, seat.name))
        self.done(seat)

    def _roomrename(self, seat: Seat, command: protocol.RoomRename) -> None:
        name, room = name_of(command.name), self.any_room(command.room)
        self.check_may_speak(seat, room)
        if room.roster is not None:
            raise Refused("already_e2ee")
        self._check_is_free(name, [each.name for each in self.rooms.values() if each is not room])
        fact = protocol.Renamed(room.shown, seat.name, name.shown)
        del self.rooms[room.name.key]
        room.name = name
        self.rooms[name.key] = room
        self.show(room, fact)
        self.done(seat)

    def _roomdelete(self, seat: Seat, command: protocol.RoomDelete) -> None:
        room = self.any_room(command.room)
        if command.reason:
            self.check_may_speak(seat, room)
        self.show(room, protocol.Deleted(room.shown, seat.name, harmless(command.reason)))
        for each in list(room.seats):
            self.drop(each, room)
        del self.rooms[room.name.key]
        room.is_deleted = True
        self.revoke(lambda ticket: ticket.room is room)
        self.done(seat)

    def _retention(self, seat: Seat, command: removal.Retention) -> None:
        if not command.room:
            own = [room for _, room in sorted(self.rooms.items()) if room.days is not None]
            rooms = [removal.RoomRetention(room.shown, room.days or 0) for room in own]
            self.tell(seat, removal.RetentionListed(0, rooms, has_more=False))
            return
        word = command.keep.lower()
        is_number = word.isascii() and word.isdigit() and word[0] != "0"
        if word not in ("forever", "default") and not (is_number and int(word) <= 3_650):
            raise Refused("bad_arguments")
        room = self.any_room(command.room)
        room.days = int(word) if is_number else {"forever": 0, "default": None}[word]
        self.done(seat)

    # Purging.

    def _purge(self, seat: Seat, command: removal.Purge) -> None:
        names = command.user or command.room
        if (command.message is None) == (not names) or (command.seconds and not names):
            raise Refused("bad_arguments")
        user = self.find(command.user, ever=True) if command.user else None
        room = self.any_room(command.room) if command.room else None
        since = self.now - command.seconds * 1000 if command.seconds else 0

        def is_meant(each: Message) -> bool:
            return (
                each.at >= since
                and user in (None, each.author)
                and room in (None, each.room)
                and command.message in (None, each.id)
            )

        def goes(file: File) -> bool:
            return user in (None, file.owner) and room in (None, file.room)

        for number, file in list(self.files.items()):
            if names and goes(file) and file.shared.at >= since:
                del self.files[number]
        for each in self.rooms.values():
            gone = [message for message in each.messages if is_meant(message)]
            each.messages = [message for message in each.messages if message not in gone]
            if gone:
                author = user.shown if user else None
                ids = (gone[0].id, gone[-1].id, len(gone))
                self.show(each, removal.Purged(each.shown, seat.name, author, *ids))
        self._purge_mail(is_meant)
        self.done(seat)

    def _purge_mail(self, is_meant: Callable[[Message], bool]) -> None:
        for account in self.accounts.values():
            account.mail[:] = [
                said
                for said in account.mail
                if not is_meant(Message(said.id, self.find(said.user, ever=True), "", said.at))
            ]
