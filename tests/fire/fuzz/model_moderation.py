"""The model's rules of moderation: who may do what to whom in a room, and who is shown it."""

from __future__ import annotations

from app.protocol import moderation
from app.protocol.command import Command
from app.protocol.moderation import Sanction
from app.values.names import harmless
from tests.fire.fuzz.model_base import Base
from tests.fire.fuzz.state import Account, Refused, Room, Seat, check_reason, in_force

_RANKS = ["", "moderator", "owner", "admin", "operator"]


class Moderation(Base):
    """What moderators decide."""

    def _case(self, seat: Seat, command: Command, least: str = "moderator") -> tuple[Room, Account]:
        """Return the room, and whom it is about. Raises Refused."""
        room, target = self.room_of(seat, command.room), self.find(command.user)
        rank = _RANKS.index(room.role(seat.account))
        if rank < _RANKS.index(least):
            raise Refused("not_allowed")
        if target is seat.account:
            raise Refused("yourself")
        if rank <= _RANKS.index(room.role(target)):
            raise Refused("not_allowed")
        return room, target

    def _send_out(
        self, room: Room, target: Account, fact: moderation.Kicked | moderation.Banned
    ) -> None:
        for seat in [each for each in room.seats if each.account is target]:
            self.drop(seat, room)
            self.tell(seat, moderation.SentOut(fact))
        self.show(room, fact)
        self.end_membership(room, target)
        self.revoke(lambda ticket: ticket.owner is target and ticket.room is room)

    def _kick(self, seat: Seat, command: moderation.Kick) -> None:
        room, target = self._case(seat, command)
        if target not in room.people and not room.has_member(target):
            raise Refused("not_here")
        reason = self._reason(seat, room, command)
        self._send_out(room, target, moderation.Kicked(room.shown, target.shown, seat.name, reason))

    def _reason(self, seat: Seat, room: Room, command: Command) -> str:
        """Return why, as it is shown. Raises Refused."""
        if command.reason:
            self.check_may_speak(seat, room)
        return harmless(command.reason)

    def _sanction(self, seat: Seat, room: Room, target: Account, command: Command) -> Sanction:
        check_reason(command.seconds, command.reason)
        reason = self._reason(seat, room, command)
        until = None if command.seconds is None else self.now + command.seconds * 1000
        return moderation.Sanction(target.shown, seat.name, reason, until)

    def _ban(self, seat: Seat, command: moderation.Ban) -> None:
        room, target = self._case(seat, command)
        made = room.bans[target] = self._sanction(seat, room, target, command)
        room.moderators.discard(target)
        fact = moderation.Banned(room.shown, target.shown, seat.name, command.seconds, made.reason)
        self._send_out(room, target, fact)

    def _mute(self, seat: Seat, command: moderation.Mute) -> None:
        room, target = self._case(seat, command)
        made = room.mutes[target] = self._sanction(seat, room, target, command)
        self.show(
            room,
            moderation.Muted(room.shown, target.shown, seat.name, command.seconds, made.reason),
        )

    def _unban(self, seat: Seat, command: moderation.Unban) -> None:
        room, target = self._case(seat, command)
        if not in_force(room.bans, target, self.now):
            raise Refused("no_ban")
        del room.bans[target]
        self.show(room, moderation.Unbanned(room.shown, target.shown, seat.name))

    def _unmute(self, seat: Seat, command: moderation.Unmute) -> None:
        room, target = self._case(seat, command)
        if not in_force(room.mutes, target, self.now):
            raise Refused("no_mute")
        del room.mutes[target]
        self.show(room, moderation.Unmuted(room.shown, target.shown, seat.name))

    def _bans(self, seat: Seat, command: moderation.Bans) -> None:
        room = self.room_of(seat, command.room)
        bans, mutes = (
            [each for each in sanctions.values() if not each.is_over(self.now)]
            for sanctions in (room.bans, room.mutes)
        )
        self.tell(seat, moderation.SanctionsListed(room.shown, bans, mutes))

    def _promote(self, seat: Seat, command: moderation.Promote) -> None:
        room, target = self._case(seat, command, "owner")
        if target in room.moderators:
            raise Refused("is_moderator")
        room.moderators.add(target)
        self.show(room, moderation.Promoted(room.shown, target.shown, seat.name))

    def _demote(self, seat: Seat, command: moderation.Demote) -> None:
        room, target = self._case(seat, command, "owner")
        if target not in room.moderators:
            raise Refused("is_no_moderator")
        room.moderators.discard(target)
        self.show(room, moderation.Demoted(room.shown, target.shown, seat.name))
