"""Deleting accounts: by the operator, or by their users, who give their password again.

Deletion is for good, and the name is never given again. Messages and files stay under the name,
unless they are purged. A room of the user goes to a moderator. A room without moderators has no
owner, and admins see to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.engine import apply
from app.engine.entries import Shown
from app.errors import LoginRefused
from app.protocol.accounts import AccountDeleted, EndedByDeletion, Unregister, UserDelete
from app.protocol.rooms import OwnerSet
from app.queries import accounts as accounts_queries
from app.queries import deletion as queries

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts.accounts import Accounts
    from app.chat.accounts.endings import Endings
    from app.chat.accounts.server_bans import InForce
    from app.chat.devices.devices import Devices
    from app.chat.rooms.members import Rosters
    from app.chat.rooms.rooms import Rooms
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Room, Session
    from app.queries.accounts import Account
    from app.queries.deletion import Heir


class Deletion:
    """Deletes accounts. All methods switch, and raise Refusal."""

    def __init__(
        self,
        kit: Kit,
        accounts: Accounts,
        rooms: Rooms,
        rosters: Rosters,
        in_force: InForce,
        devices: Devices,
        endings: Endings,
    ) -> None:
        self._acts, self._journal = kit.acts, kit.journal
        self._clock, self._end = kit.clock, kit.end
        self._accounts = accounts
        self._rooms = rooms
        self._rosters = rosters
        self._in_force = in_force
        self._devices = devices
        self._endings = endings

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            UserDelete: self.delete,
            Unregister: self.delete_own,
        }

    def delete(self, session: Session, command: UserDelete) -> None:
        """Delete an account, as the operator."""
        account = self._accounts.find(command.user)
        self._delete(session, account)
        session.client.show(AccountDeleted(account.name))
        self._devices.note_deletion(account)

    def delete_own(self, session: Session, command: Unregister) -> None:
        """Delete a session's own account, if the password is right."""
        account = self._accounts.confirmed(session, command.password)
        self._delete(session, account)
        self._end(session, AccountDeleted(account.name, is_own=True))
        self._devices.note_deletion(account)

    def _delete(self, session: Session, account: Account) -> None:
        """Delete an account, and end its rights in one atomic stretch.

        Switches. Raises Refusal.
        """
        heirs: dict[int, Heir] = {}

        def check(connection: Connection) -> None:
            if not accounts_queries.has_hash(connection, account.id, account.password_hash):
                raise LoginRefused("the account was changed meanwhile; log in again")

        def change(connection: Connection) -> None:
            heirs.update(queries.delete_account(connection, account.id, self._clock()))

        with self._rooms.loading_none() as rooms:
            session.check_is_here()  # again: the session had to wait
            self._acts.write(session, "delete user", account.name, change, check=check)
            self._in_force.forget(account.id)
            self._endings.end(account.id, EndedByDeletion(), spared=session)
            for room in sorted(rooms, key=lambda room: room.key):
                self._leave_behind(session, room, account, heirs)

    def _leave_behind(
        self, session: Session, room: Room, account: Account, heirs: Mapping[int, Heir]
    ) -> None:
        """Remove an account from a live room; show its heir as the new owner."""
        apply.remove_account(room, account.id)
        self._rosters.note_removal(session, room, account.id, account.name)
        heir = heirs.get(room.id)
        if heir is not None:
            apply.set_owner(room, heir.id)
            fact = OwnerSet(room.name, heir.name, session.speaker.name)
            self._journal.append(Shown(session, room, fact))
