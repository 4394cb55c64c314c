"""Making a room encrypted, for good, and showing its members.

It happens between two messages. All messages before it are in the clear, with ids up to
`e2ee_from`. From the moment when it is on its way, no message in the clear can follow it.
"""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING

from app.bounds import MEMBERS_A_ROOM_MAX
from app.chat.rooms.members import too_many_members
from app.engine import apply
from app.engine.entries import wait_for_earlier
from app.errors import Forbidden, NotPossible
from app.protocol import rooms as protocol
from app.queries import members as queries
from app.queries import rooms as rooms_queries
from app.values.names import parse_name

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.rooms.rooms import Rooms
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Room, Session


class EncryptedRooms:
    """Commands about encrypted rooms."""

    def __init__(self, kit: Kit, rooms: Rooms) -> None:
        self._journal, self._clock, self._acts = kit.journal, kit.clock, kit.acts
        self._rooms = rooms

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            protocol.Encrypt: self.encrypt,
            protocol.Roster: self.show_roster,
        }

    def encrypt(self, session: Session, command: protocol.Encrypt) -> None:
        """Make a room encrypted, as its owner or an admin. Switches. Raises Refusal."""
        room = session.room_or_refuse(command.room)
        with self._rooms.deciding(room):
            session.check_is_here()
            session.check_is_in(room)
            user = session.speaker
            _check_role(room, room.role_of(user.id, is_admin=user.is_admin))
            if room.is_encrypted:
                raise NotPossible(f"{room.name} is encrypted already", code="already_e2ee")
            self._encrypt(session, room)

    def _encrypt(self, session: Session, room: Room) -> None:
        user = session.speaker

        def check(connection: Connection) -> None:
            _check_role(room, rooms_queries.role_of(connection, room.id, user.id))

        def change(connection: Connection) -> None:
            fact.members = queries.active(connection, fact.members)  # some may be ending just now
            fact.e2ee_from = queries.encrypt(connection, room.id, fact.members)

        room.is_being_encrypted = True  # no user enters, and no message in the clear is taken
        try:
            wait_for_earlier(self._journal, session)  # users on their way into the room are there
            if len(room.present) > MEMBERS_A_ROOM_MAX:
                raise too_many_members(room)
            fact = apply.Encrypted(user.name, 0, _those_present(room))
            self._acts.decide(session, room, [fact], "encrypt", change=change, check=check)
        finally:
            room.is_being_encrypted = False

    def show_roster(self, session: Session, command: protocol.Roster) -> None:
        """Show a room's members, to one of them. Switches. Raises Refusal."""
        room = self._room_meant(session, command.room)
        with self._rooms.deciding(room):
            user, roster = session.speaker, room.roster
            if user not in room.present and not room.has_member(user.id):
                raise Forbidden(
                    f"you do not belong to {room.name}; join it first", code="not_a_member"
                )
            if roster is not None:
                members, rev, e2ee_from = roster.members.values(), roster.rev, roster.e2ee_from
            else:
                members = _those_present(room).values()
                rev = e2ee_from = 0
            behind = (key for key in members if key > command.after)
            found = nsmallest(command.count + 1, behind)
        shown, has_more = found[: command.count], len(found) > command.count
        session.client.show_at_leisure(
            protocol.RosterShown(
                room.name, rev, roster is not None, e2ee_from, shown, has_more, command.after
            )
        )

    def _room_meant(self, session: Session, name: str) -> Room:
        """Return the room named, or the session's only one. Switches. Raises Refusal."""
        return self._rooms.open(parse_name(name), None) if name else session.room_or_refuse()


def _check_role(room: Room, role: str) -> None:
    """Raise Forbidden when a role is too low for this."""
    if role not in ("owner", "admin"):
        raise Forbidden(f"only its owner and admins may do that in {room.name}", code="not_allowed")


def _those_present(room: Room) -> dict[int, str]:
    """Return a room's users as a roster: keys of their names, by user id."""
    return {user.id: parse_name(user.name).key for user in room.present}
