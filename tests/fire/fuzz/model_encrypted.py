"""The model's rules of encrypted rooms: who belongs to them, and what is said there."""

from __future__ import annotations

from app.protocol import rooms, talk
from tests.fire.fuzz.model_base import Base
from tests.fire.fuzz.state import Message, Refused, Roster, Seat


class Encrypted(Base):
    """What is asked about encrypted rooms, and in them."""

    def _encrypt(self, seat: Seat, command: rooms.Encrypt) -> None:
        room = self.room_of(seat, command.room)
        if room.role(seat.account) not in ("owner", "admin"):
            raise Refused("not_allowed")
        if room.roster is not None:
            raise Refused("already_e2ee")
        room.roster = Roster(self.message_ids, set(room.people))
        self.show(room, rooms.Encrypted(room.shown, seat.name))
        self.show(room, rooms.RosterChanged(room.shown, seat.name, 1))

    def _roster(self, seat: Seat, command: rooms.Roster) -> None:
        room = self.any_room(command.room) if command.room else self.room_of(seat, "")
        if seat.me not in room.people and not room.has_member(seat.me):
            raise Refused("not_a_member")
        members, rev, e2ee_from = set(room.people), 0, 0
        if room.roster is not None:
            members, rev, e2ee_from = room.roster.members, room.roster.rev, room.roster.e2ee_from
        keys = sorted(each.name.key for each in members)
        is_encrypted = room.roster is not None
        self.tell(seat, rooms.RosterShown(room.shown, rev, is_encrypted, e2ee_from, keys))

    @staticmethod
    def check_content(command: talk.Say | talk.Tell) -> None:
        """Raise Refused unless there is either a text or what a device encrypted."""
        if bool(command.body) == (command.enc is not None):
            raise Refused("bad_arguments")

    def encrypted(self, seat: Seat, command: talk.Say) -> Message:
        """Return what a device says in a room. Raises Refused."""
        self.check_content(command)
        room, device = self.room_of(seat, command.room), self.device_of(seat)
        self.check_may_speak(seat, room)
        if command.enc is None or command.if_rev is None:
            raise Refused("bad_arguments")
        if room.roster is None:
            raise Refused("not_e2ee")
        is_retry = (seat.me.id, command.txn) in self.txns
        if command.if_rev != room.roster.rev and not is_retry:
            raise Refused("roster_changed")
        return Message(0, seat.me, "", self.now, False, room, None, device.id, command.enc)
