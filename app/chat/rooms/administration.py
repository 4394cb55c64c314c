"""Administration of rooms: making, renaming and deleting them, and setting their owner.

Each is a decision about the room, made when no other one is. A deleted room is gone when that is
released, and its name free. Its rows stay in the database, marked by `deleted_at`, until they are
removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from gevent.lock import RLock

from app.bounds import PAGE_ITEMS_MAX
from app.chat.accounts.accounts import name_taken
from app.chat.rooms.rooms import Rooms, make
from app.engine import apply
from app.engine.decisions import check_is_there
from app.errors import NotPossible
from app.protocol import rooms as protocol
from app.queries import members as rosters_queries
from app.queries import rooms as queries
from app.queries.accounts import NameTakenError
from app.values.names import harmless, parse_name, parse_new_name

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts.accounts import Accounts
    from app.engine.delivery import Delivery
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Room, Session
    from app.engine.tickets import Tickets


class RoomAdministration:
    """The acts of admins and the operator on rooms. All methods switch, and raise Refusal."""

    def __init__(self, kit: Kit, accounts: Accounts, rooms: Rooms, tickets: Tickets) -> None:
        self._database, self._clock, self._acts = kit.database, kit.clock, kit.acts
        self._accounts = accounts
        self._rooms = rooms
        self._tickets = tickets
        self._naming = RLock()  # while a name is given to a room, or becomes free

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            protocol.RoomList: self.list_rooms,
            protocol.RoomCreate: self.create,
            protocol.RoomDelete: self.delete,
            protocol.RoomRename: self.rename,
            protocol.RoomOwner: self.set_owner,
        }

    def list_rooms(self, session: Session, command: protocol.RoomList) -> None:
        """Show a page of the rooms."""
        after_key = parse_name(command.after).key if command.after else ""
        found = self._database.read(
            lambda connection: queries.page(connection, after_key, PAGE_ITEMS_MAX + 1)
        )
        shown = [
            replace(room, users=self._rooms.people_in(key)) for key, room in found[:PAGE_ITEMS_MAX]
        ]
        has_more = len(found) > PAGE_ITEMS_MAX
        session.client.show_at_leisure(protocol.RoomRecordsListed(shown, has_more))

    def create(self, session: Session, command: protocol.RoomCreate) -> None:
        """Make a room with an owner, a member if it is encrypted."""
        name, owner = parse_new_name(command.room), self._accounts.find(command.owner)

        def change(connection: Connection) -> None:
            check_is_there(connection, owner)
            now = self._clock()
            room = make(connection, name, owner.id, now)
            if command.e2ee:
                newest_id = rosters_queries.encrypt(connection, room.id, [owner.id])
                members = {owner.id: parse_name(owner.name).key}
                fact = apply.Encrypted(session.speaker.name, newest_id, members)
                fact.record(connection, room.id, now)

        with self._naming, self._rooms.opening(name):
            try:
                self._acts.write(session, "create room", owner.name, change, room=name.shown)
            except NameTakenError as error:
                raise name_taken(name) from error
        session.client.show(protocol.RoomMade(name.shown, owner.name, command.e2ee))

    def set_owner(self, session: Session, command: protocol.RoomOwner) -> None:
        """Make a user the owner of a room; a ban or mute of theirs there ends."""
        owner = self._accounts.find(command.user)
        with self._deciding(command.room) as room:
            if room.owner_id == owner.id:
                raise NotPossible(f"{owner.name} owns {room.name} already", code="is_owner")

            def change(connection: Connection) -> None:
                check_is_there(connection, owner)
                queries.set_owner(connection, room.id, owner.id)

            fact = apply.OwnerSet(owner.id, owner.name, session.speaker.name)
            self._acts.decide(session, room, [fact], "set owner", owner.name, change)
        session.client.show(protocol.RoomGiven(room.name, owner.name))

    def rename(self, session: Session, command: protocol.RoomRename) -> None:
        """Give a room another name."""
        name = parse_new_name(command.name)
        with self._deciding(command.room) as room, self._naming, self._rooms.opening(name):
            old = room.name
            session.check_may_speak(self._clock(), room)  # all there are shown the new name
            if room.is_encrypted:
                raise NotPossible(
                    f"{old} is encrypted and keeps its name: by it its members' clients know it",
                    code="already_e2ee",
                )

            def change(connection: Connection) -> None:
                try:
                    queries.rename(connection, room.id, name)
                except NameTakenError as error:
                    raise name_taken(name) from error

            fact = apply.Renamed(name.shown, session.speaker.name)
            self._acts.decide(session, room, [fact], "rename", name.shown, change, speaks=True)
        session.client.show(protocol.RoomRenamed(old, name.shown))

    def delete(self, session: Session, command: protocol.RoomDelete) -> None:
        """Delete a room. It is gone at once, and its rows are removed later."""
        reason = harmless(command.reason)
        with self._deciding(command.room) as room, self._naming:
            if reason:
                session.check_may_speak(self._clock(), room)

            def change(connection: Connection) -> None:
                queries.give_up(connection, room.id, self._clock())

            fact = apply.Deleted(session.speaker.name, reason)

            def revoke(_delivery: Delivery) -> None:
                self._tickets.revoke_of_all(room.id)

            self._acts.decide(
                session, room, [fact], "delete room", "", change, reason=reason, then=revoke
            )
        session.client.show(protocol.RoomDeleted(room.name))

    @contextmanager
    def _deciding(self, room_name: str) -> Iterator[Room]:
        """Hold the room of that name for a decision. Switches. Raises Refusal."""
        room = self._rooms.open(parse_name(room_name), None)
        with self._rooms.deciding(room):
            yield room
